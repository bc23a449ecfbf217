import type { Table } from '../../configfile/field.ts';
import { ArtifactError, invalidValue } from '../../util/error.ts';
import { parseSignedIdentity, type SignedIdentity } from './identity.ts';
import { parseSubjectPattern, type Subject } from './verify/subject.ts';

/**
 * One of the requirements that must all be met (containers-policy.json(5), "Policy Requirements"). `field` is its path
 * in the file.
 */
export type Requirement =
  | { readonly kind: 'accept' | 'reject'; readonly field: string }
  | UnusableRequirement
  | SignedRequirement;

/** A requirement that this driver does not support or know: it refuses. `why` names the field. */
export type UnusableRequirement = { readonly kind: 'unusable'; readonly field: string; readonly why: string };

export type SignedRequirement = {
  readonly kind: 'signed';
  readonly field: string;
  readonly signer: Signer;
  /** Public keys of Rekor logs, of which one must have recorded the signature; empty if that is not required. */
  readonly logs: readonly Material[];
  /** A sigstore trusted root, which has CAs, logs and timestamp authorities. Then there are no other logs and CAs. */
  readonly trustedRoot?: Material;
  readonly identity: SignedIdentity;
};

/** The required signer: one of some keys, or the subject of a certificate of Fulcio's CA. */
export type Signer =
  | { readonly kind: 'keys'; readonly keys: readonly Material[] }
  | {
      readonly kind: 'fulcio';
      readonly field: string;
      /** Undefined: those of the trusted root. */
      readonly ca?: Material;
      readonly oidcIssuer: string;
      readonly subject: Subject;
    };

/** PEM, or the file that contains it. */
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

/** Fields that containers does not know, and for which it refuses a whole file. */
const trustedRootField = 'trustedRootPath';
const subjectFields = ['subjectEmail', 'subject', 'subjectRegExp'] as const;

/**
 * Parses one object of a list of requirements. It never throws: what it does not understand is `unusable`. `strict`: so
 * is what containers does not know.
 */
export function parseRequirement(object: Table, strict: boolean): Requirement {
  const field = object.path;
  try {
    const type = object.text('type');
    switch (type) {
      case 'insecureAcceptAnything':
      case 'reject':
        object.only('type');
        return { kind: type === 'reject' ? 'reject' : 'accept', field };
      case 'sigstoreSigned':
        return parseSigned(object, strict);
      case 'signedBy':
      case 'signedBaseLayer':
        return unusable(
          field,
          `${object.at('type')}: this driver does not verify "${type}"; sign with cosign and write "sigstoreSigned"`,
        );
      default:
        return object.invalid('type', 'must be insecureAcceptAnything, reject or sigstoreSigned');
    }
  } catch (thrown) {
    if (!(thrown instanceof ArtifactError)) throw thrown;
    return unusable(field, thrown.message);
  }
}

export function unusable(field: string, why: string): UnusableRequirement {
  return { kind: 'unusable', field, why };
}

function parseSigned(object: Table, strict: boolean): Requirement {
  if (object.keys.includes('pki')) {
    return unusable(
      object.path,
      `${object.at('pki')}: this driver does not verify certificates of one's own PKI; sign with a key or by Fulcio`,
    );
  }
  if (strict) refuseExtension(object, trustedRootField);
  object.only('type', ...keyFields, 'fulcio', ...logFields, trustedRootField, 'signedIdentity');
  const signers = [...keyFields, 'fulcio'].filter(key => object.keys.includes(key));
  if (signers.length !== 1) {
    throw new ArtifactError(
      'invalid',
      `${object.path} must have exactly one of ${keyFields.join(', ')} and fulcio; it has ${signers.join(' and ') || 'none'}`,
    );
  }
  const witnesses = [...logFields, trustedRootField].filter(key => object.keys.includes(key));
  if (witnesses.length > 1) {
    throw new ArtifactError(
      'invalid',
      `${object.path} may have only one of ${logFields.join(', ')} and ${trustedRootField}; it has ${witnesses.join(' and ')}`,
    );
  }
  const fulcio = object.table('fulcio');
  if (fulcio !== undefined && witnesses.length === 0) {
    throw new ArtifactError(
      'invalid',
      `${fulcio.path} needs rekorPublicKeyPath or another of the log's keys beside it, or ${trustedRootField}: certificates of Fulcio live for minutes, and only a log or a timestamp says when they were used`,
    );
  }
  const [trustedRoot] = parseMaterials(object, [trustedRootField, undefined, undefined, undefined]);
  return {
    kind: 'signed',
    field: object.path,
    signer:
      fulcio === undefined
        ? { kind: 'keys', keys: parseMaterials(object, keyFields) }
        : parseFulcio(fulcio, trustedRoot, strict),
    logs: parseMaterials(object, logFields),
    ...(trustedRoot === undefined ? {} : { trustedRoot }),
    identity: parseSignedIdentity(object.table('signedIdentity'), strict),
  };
}

/** The CA is that of the trusted root, if there is one. */
function parseFulcio(object: Table, trustedRoot: Material | undefined, strict: boolean): Signer {
  if (strict) for (const key of subjectFields.slice(1)) refuseExtension(object, key);
  object.only('caPath', 'caData', 'oidcIssuer', ...subjectFields);
  const [ca, ...more] = parseMaterials(object, ['caPath', undefined, 'caData', undefined]);
  if (trustedRoot !== undefined && ca !== undefined) {
    throw new ArtifactError(
      'invalid',
      `${ca.field} may not be beside ${trustedRoot.field}, which has the CAs`,
    );
  }
  if (trustedRoot === undefined && (ca === undefined || more.length > 0)) {
    throw new ArtifactError('invalid', `${object.path} must have exactly one of caPath and caData`);
  }
  const oidcIssuer = object.text('oidcIssuer');
  const subject = parseSubject(object);
  if (oidcIssuer === undefined || subject === undefined) {
    throw new ArtifactError(
      'invalid',
      `${object.path} must have both oidcIssuer and subjectEmail, or subject or subjectRegExp in its place`,
    );
  }
  return { kind: 'fulcio', field: object.path, ...(ca === undefined ? {} : { ca }), oidcIssuer, subject };
}

function parseSubject(object: Table): Subject | undefined {
  const [key, another] = subjectFields.filter(key => object.keys.includes(key));
  if (another !== undefined) {
    throw new ArtifactError('invalid', `${object.path} may have only one of ${subjectFields.join(', ')}`);
  }
  const text = key === undefined ? undefined : object.text(key);
  if (key === undefined || text === undefined) return undefined;
  if (key !== 'subjectRegExp') return { kind: key === 'subject' ? 'exact' : 'email', text };
  try {
    return parseSubjectPattern(text);
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : '';
    throw invalidValue('value', text, `must be a regular expression: ${why}`, object.at(key));
  }
}

function refuseExtension(object: Table, key: string): void {
  if (!object.keys.includes(key)) return;
  throw new ArtifactError(
    'invalid',
    `${object.at(key)} is a field that only this driver knows, which --strict-policy refuses; write containers' own fields, or leave out that flag`,
  );
}

type MaterialFields = readonly [string, string | undefined, string | undefined, string | undefined];

/** The names of the fields for a path, several paths, data, and a list of data. */
function parseMaterials(object: Table, [path, paths, data, datas]: MaterialFields): readonly Material[] {
  const one = (key: string | undefined) => {
    const text = key === undefined ? undefined : object.text(key);
    return key === undefined || text === undefined ? [] : [{ field: object.at(key), text }];
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
  throw invalidValue('value', path, 'must be an absolute path', field);
}

function toData(field: string, text: string): Material {
  try {
    const bytes = Uint8Array.fromBase64(text, { lastChunkHandling: 'strict' });
    return { kind: 'data', field, pem: new TextDecoder().decode(bytes) };
  } catch (thrown) {
    throw new ArtifactError('invalid', `${field} must be PEM in base64`, thrown);
  }
}
