import { type Bundle, bundleFromJSON, ValidationError } from '@sigstore/bundle';
import type { Table } from '../../../configfile/field.ts';
import { parseJsonObject } from '../../../configfile/json.ts';
import { algorithmOf, type Digest, hexOf } from '../../../oci/digest.ts';
import { ArtifactError } from '../../../util/error.ts';
import { parseJson } from '../../../util/json.ts';
import { quoteName } from '../../../util/name.ts';
import { parseCertificate } from './certificate-form.ts';
import { toEnvelopeSignature } from './dsse.ts';
import type { SignedContent } from './signed-content.ts';

/** The artifact type of a referrer that is a bundle, and the media type of its one layer. */
export const bundleType = 'application/vnd.dev.sigstore.bundle.v0.3+json';

/** The annotation of a registry or manifest that repeats the predicate type of a bundle. */
export const predicateAnnotation = 'dev.sigstore.bundle.predicateType';

/**
 * The predicate type of `cosign sign`. Other statements with the same media type are attestations: of tests, of
 * contents.
 */
export const signPredicate = 'https://sigstore.dev/cosign/sign/v1';

const statementType = 'application/vnd.in-toto+json';

/** A bundle as a signature, and the statement that it signs. */
export type SignedBundle = { readonly content: SignedContent; readonly statement: Uint8Array };

/**
 * Parses a sigstore bundle with a statement in an envelope, as `cosign sign` makes them. A bare message signature is
 * refused: no tool makes one of an artifact in a registry.
 *
 * @throws ArtifactError `invalid` with what is wrong.
 */
export function parseBundle(bytes: Uint8Array): SignedBundle {
  const bundle = toBundle(bytes);
  if (bundle.content.$case !== 'dsseEnvelope') {
    throw new ArtifactError('invalid', 'the bundle signs no statement; sign with cosign 3');
  }
  const { payload, payloadType, signatures } = bundle.content.dsseEnvelope;
  if (payloadType !== statementType) {
    throw new ArtifactError('invalid', `the bundle signs ${quoteName(payloadType)} and not ${statementType}`);
  }
  const { content: material, tlogEntries, timestampVerificationData } = bundle.verificationMaterial;
  const [signed] = signatures;
  if (signed === undefined) throw new ArtifactError('invalid', 'the bundle has no signature');
  return {
    statement: payload,
    content: {
      signature: toEnvelopeSignature(payloadType, payload, signed.sig),
      tlogEntries,
      timestamps: (timestampVerificationData?.rfc3161Timestamps ?? []).map(one => one.signedTimestamp),
      chain: [],
      ...(material.$case === 'publicKey' ? { hint: material.publicKey.hint } : {}),
      ...(material.$case === 'certificate'
        ? { certificate: parseCertificate(material.certificate.rawBytes) }
        : {}),
    },
  };
}

/**
 * Checks that a statement is cosign's signature of this digest. To be called after the bundle is verified.
 *
 * @throws ArtifactError `denied` for another statement or another digest; `invalid` if it is not a statement.
 */
export function verifyStatement(bytes: Uint8Array, digest: Digest): void {
  const statement = parseJsonObject(bytes, 'the statement');
  const predicate = statement.text('predicateType') ?? '';
  if (predicate !== signPredicate) {
    throw new ArtifactError(
      'denied',
      `it is an attestation (${quoteName(predicate)}) and no signature; sign with cosign sign`,
    );
  }
  const subjects = (statement.tables('subject') ?? []).map(subject => digestOf(subject, digest));
  if (subjects.includes(hexOf(digest))) return;
  throw new ArtifactError(
    'denied',
    `it signs another digest, ${quoteName(subjects.join(', '))}; sign ${digest} itself`,
  );
}

function digestOf(subject: Table, like: Digest): string {
  return subject.table('digest')?.text(algorithmOf(like)) ?? '';
}

function toBundle(bytes: Uint8Array): Bundle {
  const json = parseJson(bytes, { uniqueKeys: true });
  try {
    return bundleFromJSON(json);
  } catch (thrown) {
    const fields = thrown instanceof ValidationError ? `: ${thrown.fields.join(', ')}` : '';
    throw new ArtifactError('invalid', `the bundle cannot be used${fields}`, thrown);
  }
}
