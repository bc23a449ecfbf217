import { ArtifactError } from '../util/error.ts';
import { parseSignedIdentity, type SignedIdentity } from './identity.ts';
import type { JsonObject } from './json-object.ts';

/** One of the requirements that must all hold (containers-policy.json(5), "Policy Requirements"). `field` is its path in the file. */
export type Requirement =
  | { readonly kind: 'accept' | 'reject'; readonly field: string }
  | UnusableRequirement
  | SignedRequirement;

/** Something this driver does not do or know: it refuses. `why` names the field. */
export type UnusableRequirement = { readonly kind: 'unusable'; readonly field: string; readonly why: string };

export type SignedRequirement = {
  readonly kind: 'signed';
  readonly field: string;
  readonly signer: Signer;
  /** Public keys of Rekor logs, of which one must have recorded the signature; empty if that is not wanted. */
  readonly logs: readonly Material[];
  readonly identity: SignedIdentity;
};

/** Who must have signed: one of some keys, or whoever Fulcio's CA gave a certificate for that e-mail address. */
export type Signer =
  | { readonly kind: 'keys'; readonly keys: readonly Material[] }
  | {
      readonly kind: 'fulcio';
      readonly field: string;
      readonly ca: Material;
      readonly oidcIssuer: string;
      readonly subjectEmail: string;
    };

/** PEM, or the file that holds it. */
export type Material =
  | { readonly kind: 'path'; readonly field: string; readonly path: string }
  | { readonly kind: 'data'; readonly field: string; readonly pem: string };

const keyFields = ['keyPath', 'keyPaths', 'keyData', 'keyDatas'] as const;
const logFields = [
  'rekorPublicKeyPath',
  'rekorPublicKeyPaths',
  'rekorPublicKeyData',
  'rekorPublicKeyDatas',
] as const;

/** What one object of a list of requirements says. Total: what cannot be understood is `unusable`. */
export function parseRequirement(object: JsonObject): Requirement {
  const field = object.path;
  try {
    const type = object.text('type');
    switch (type) {
      case 'insecureAcceptAnything':
      case 'reject':
        object.only('type');
        return { kind: type === 'reject' ? 'reject' : 'accept', field };
      case 'sigstoreSigned':
        return parseSigned(object);
      case 'signedBy':
      case 'signedBaseLayer':
        return unusable(
          field,
          `${object.at('type')}: this driver does not verify "${type}"; sign with cosign and write "sigstoreSigned"`,
        );
      default:
        return unusable(
          field,
          `${object.at('type')} must be insecureAcceptAnything, reject or sigstoreSigned`,
        );
    }
  } catch (thrown) {
    if (!(thrown instanceof ArtifactError)) throw thrown;
    return unusable(field, thrown.message);
  }
}

export function unusable(field: string, why: string): UnusableRequirement {
  return { kind: 'unusable', field, why };
}

function parseSigned(object: JsonObject): Requirement {
  if (object.keys.includes('pki')) {
    return unusable(
      object.path,
      `${object.at('pki')}: this driver does not verify certificates of one's own PKI; sign with a key or by Fulcio`,
    );
  }
  object.only('type', ...keyFields, 'fulcio', ...logFields, 'signedIdentity');
  const signers = [...keyFields, 'fulcio'].filter(key => object.keys.includes(key));
  if (signers.length !== 1) {
    throw new ArtifactError(
      'invalid',
      `${object.path} must have exactly one of ${keyFields.join(', ')} and fulcio; it has ${signers.join(' and ') || 'none'}`,
    );
  }
  const given = logFields.filter(key => object.keys.includes(key));
  if (given.length > 1) {
    throw new ArtifactError(
      'invalid',
      `${object.path} may have only one of ${logFields.join(', ')}; it has ${given.join(' and ')}`,
    );
  }
  const fulcio = object.object('fulcio');
  if (fulcio !== undefined && given.length === 0) {
    throw new ArtifactError(
      'invalid',
      `${fulcio.path} needs rekorPublicKeyPath or another of the log's keys beside it: certificates of Fulcio live for minutes, and only the log says when they were used`,
    );
  }
  return {
    kind: 'signed',
    field: object.path,
    signer:
      fulcio === undefined ? { kind: 'keys', keys: parseMaterials(object, keyFields) } : parseFulcio(fulcio),
    logs: parseMaterials(object, logFields),
    identity: parseSignedIdentity(object.object('signedIdentity')),
  };
}

function parseFulcio(object: JsonObject): Signer {
  object.only('caPath', 'caData', 'oidcIssuer', 'subjectEmail');
  const [ca, ...more] = parseMaterials(object, ['caPath', undefined, 'caData', undefined]);
  const oidcIssuer = object.text('oidcIssuer');
  const subjectEmail = object.text('subjectEmail');
  if (ca === undefined || more.length > 0) {
    throw new ArtifactError('invalid', `${object.path} must have exactly one of caPath and caData`);
  }
  if (oidcIssuer === undefined || subjectEmail === undefined) {
    throw new ArtifactError('invalid', `${object.path} must have both oidcIssuer and subjectEmail`);
  }
  return { kind: 'fulcio', field: object.path, ca, oidcIssuer, subjectEmail };
}

type MaterialFields = readonly [string, string | undefined, string, string | undefined];

/** The names of fields for a path, several paths, data and several data. */
function parseMaterials(object: JsonObject, [path, paths, data, datas]: MaterialFields): readonly Material[] {
  const one = (key: string) => {
    const text = object.text(key);
    return text === undefined ? [] : [{ field: object.at(key), text }];
  };
  const several = (key: string | undefined) =>
    key === undefined
      ? []
      : (object.texts(key) ?? []).map((text, index) => ({ field: `${object.at(key)}[${index}]`, text }));
  return [
    ...[...one(path), ...several(paths)].map(({ field, text }) => toPath(field, text)),
    ...[...one(data), ...several(datas)].map(({ field, text }) => toData(field, text)),
  ];
}

function toPath(field: string, path: string): Material {
  if (path.startsWith('/')) return { kind: 'path', field, path };
  throw new ArtifactError('invalid', `${field} must be an absolute path`);
}

function toData(field: string, text: string): Material {
  try {
    const bytes = Uint8Array.fromBase64(text, { lastChunkHandling: 'strict' });
    return { kind: 'data', field, pem: new TextDecoder().decode(bytes) };
  } catch (thrown) {
    throw new ArtifactError('invalid', `${field} must be PEM in base64`, thrown);
  }
}
