import { type SignedEntity, type TrustMaterial, VerificationError, Verifier } from '@sigstore/verify';
import { ArtifactError } from '../../../util/error.ts';
import { toDate } from '../../../util/words.ts';
import { type CertificateRequirement, toPublicKey, verifyCertificate } from './certificate.ts';
import type { Certificate } from './certificate-form.ts';
import { findLog, isWithin, type Log, toLibraryLog, verifyProof, verifyRecordedSigner } from './log-entry.ts';
import { keyId, type PublicKey } from './public-key.ts';
import { type TimestampAuthority, verifyTimestamp } from './timestamp.ts';

/** The allowed signers and required witnesses, with the keys themselves. `field` is the path in the policy. */
export type Trusted = {
  readonly field: string;
  readonly signer:
    | { readonly kind: 'keys'; readonly keys: readonly PublicKey[] }
    | { readonly kind: 'fulcio'; readonly authority: CertificateRequirement };
  /** If there are any, one must have recorded it. */
  readonly logs: readonly Log[];
  /** If there are any, and no logs, one must have seen it. */
  readonly timestampAuthorities: readonly TimestampAuthority[];
};

/** A signature with the material that came with it. */
export type SignedContent = Pick<SignedEntity, 'signature' | 'tlogEntries'> & {
  /** Its claimed key ID in base64, if any. */
  readonly hint?: string;
  readonly certificate?: Certificate;
  /** Intermediate certificates. */
  readonly chain: readonly Certificate[];
  /** Tokens of RFC 3161. */
  readonly timestamps: readonly Uint8Array[];
};

/** A time at which the signature existed, and the witness, for messages. */
type Sighting = { readonly time: Date; readonly by: string };
type Entry = SignedContent['tlogEntries'][number];

/** The maximum number of entries, and of timestamps; Sigstore's own verifiers have the same limit. */
const maxWitnesses = 32;

/**
 * Verifies that a trusted signer made the signature, that a trusted log recorded it if the policy requires that, and
 * that a certificate was valid when trusted logs and timestamp authorities saw the signature. Entries and timestamps of
 * others do not count.
 *
 * @returns the signer, for messages.
 * @throws ArtifactError `denied` with what is wrong and what to do.
 */
export function verifySigned(content: SignedContent, trusted: Trusted): string {
  const { signer, logs, field } = trusted;
  if (content.tlogEntries.length > maxWitnesses || content.timestamps.length > maxWitnesses) {
    throw denied(`it has more than ${maxWitnesses} log entries or timestamps, which are not looked at`);
  }
  if (logs.length > 0 && !content.tlogEntries.some(entry => findLog(logs, entry) !== undefined)) {
    const which = content.tlogEntries.length === 0 ? 'a log' : 'one of the logs that are trusted';
    throw denied(
      `it has no proof that ${which} recorded it, which ${field} wants by its rekorPublicKey or trusted root; sign it again, with an upload to the log, or name the key of the log it is in`,
    );
  }
  if (signer.kind === 'keys') return verifyByKeys(content, signer.keys, trusted);
  const { certificate, chain } = content;
  if (certificate === undefined) {
    throw denied(
      `it has no certificate, which ${signer.authority.field} wants; sign it without a key, or trust the key by keyPath`,
    );
  }
  const key = toPublicKey(certificate);
  const { sightings, flaws } = verifyBy(key, content, trusted, certificate);
  if (sightings.length === 0) throw denied(unseen(field, flaws));
  for (const { time, by } of sightings) verifyCertificate(certificate, chain, signer.authority, time, by);
  return `${key.label}, by ${signer.authority.field}`;
}

function verifyByKeys(content: SignedContent, keys: readonly PublicKey[], trusted: Trusted): string {
  const hinted = keys.find(key => keyId(key).toString('base64') === content.hint);
  const fitting = keys.find(key => content.signature.verifySignature(key.key));
  if (fitting !== undefined) {
    verifyBy(fitting, content, trusted, undefined);
    return fitting.label;
  }
  if (hinted !== undefined) {
    throw denied(
      `it says that ${hinted.label} made it, and that key does not verify it: the bundle was altered; sign it again`,
    );
  }
  const labels = keys.map(key => key.label).join(', ');
  throw denied(
    content.hint === undefined
      ? `no key that is trusted verifies it (${labels}): another key made it, or it was altered; sign it with one of them, or add the signer's there`
      : `it was made by another key than those that are trusted (${labels}); sign it with one of them, or add the signer's there`,
  );
}

/**
 * Verifies the signature, and every entry of a trusted log. A timestamp that cannot be verified does not count; `flaws`
 * has the reason.
 */
function verifyBy(
  key: PublicKey,
  { signature, tlogEntries, timestamps }: SignedContent,
  { field, logs, timestampAuthorities }: Trusted,
  certificate: Certificate | undefined,
): { readonly sightings: readonly Sighting[]; readonly flaws: readonly string[] } {
  const recorded = tlogEntries.flatMap(entry => {
    const log = findLog(logs, entry);
    return log === undefined ? [] : [{ entry, log }];
  });
  try {
    verifyByLibrary(key, signature, recorded, logs.length > 0);
  } catch (thrown) {
    throw thrown instanceof VerificationError ? explain(thrown, key, field) : thrown;
  }
  for (const { entry, log } of recorded) {
    verifyProof(entry, log);
    verifyRecordedSigner(entry, key, certificate);
  }

  const promised = recorded.filter(({ entry }) => entry.inclusionPromise !== undefined);
  const stamped = verifyTimestamps(timestamps, { signature, key: key.key }, timestampAuthorities);
  if (logs.length === 0 && timestampAuthorities.length > 0 && stamped.sightings.length === 0) {
    throw denied(unseen(field, stamped.flaws));
  }
  const sightings = [
    ...promised.map(({ entry }) => ({
      time: toDate(Number(entry.integratedTime) * 1000),
      by: 'the log recorded the signature',
    })),
    ...stamped.sightings,
  ];
  const early = recorded.find(({ log }) => sightings.some(({ time }) => !isWithin(log.period, time)));
  if (early !== undefined) {
    throw denied(
      `${early.log.publicKey.label} was not in use when it was signed; sign it again, with an upload to the log`,
    );
  }
  return { sightings, flaws: stamped.flaws };
}

function verifyTimestamps(
  tokens: SignedContent['timestamps'],
  signed: Parameters<typeof verifyTimestamp>[1],
  authorities: readonly TimestampAuthority[],
): { readonly sightings: readonly Sighting[]; readonly flaws: readonly string[] } {
  const sightings: Sighting[] = [];
  const flaws: string[] = [];
  for (const token of authorities.length === 0 ? [] : tokens) {
    try {
      sightings.push({
        time: verifyTimestamp(token, signed, authorities),
        by: 'a timestamp shows the signature',
      });
    } catch (thrown) {
      if (!(thrown instanceof ArtifactError)) throw thrown;
      flaws.push(thrown.message);
    }
  }
  return { sightings, flaws };
}

/** Verifies signature and log entries by Sigstore's own library. @throws VerificationError. */
function verifyByLibrary(
  key: PublicKey,
  signature: SignedContent['signature'],
  recorded: readonly { readonly entry: Entry; readonly log: Log }[],
  mustBeRecorded: boolean,
): void {
  const material: TrustMaterial = {
    certificateAuthorities: [],
    timestampAuthorities: [],
    ctlogs: [],
    tlogs: recorded.map(({ entry, log }) => toLibraryLog(log, entry)),
    publicKey: () => ({ publicKey: key.key, validFor: () => true }),
  };
  const verifier = new Verifier(material, {
    tlogThreshold: mustBeRecorded ? 1 : 0,
    timestampThreshold: 0,
    ctlogThreshold: 0,
  });
  verifier.verify({
    signature,
    key: { $case: 'public-key', hint: '' },
    tlogEntries: recorded.map(({ entry }) => entry),
    timestamps: [],
  });
}

function unseen(field: string, flaws: readonly string[]): string {
  const why = flaws.length === 0 ? '' : ` (${flaws.join('; ')})`;
  return `no log that ${field} names promises when it recorded it, and no timestamp authority shows when it was signed${why}, so that its certificate cannot be judged; sign it with an upload to a Rekor log (version 1), or with a timestamp`;
}

function explain({ code, message }: VerificationError, key: PublicKey, field: string): ArtifactError {
  switch (code) {
    case 'SIGNATURE_ERROR':
      return denied(`it was altered: ${key.label} does not verify it; sign it again`);
    case 'TLOG_BODY_ERROR':
      return denied(
        `it was altered: its log entry is of something else (${message}); sign it again, with an upload to the log`,
      );
    case 'TLOG_ERROR':
    case 'TLOG_INCLUSION_PROOF_ERROR':
    case 'TLOG_INCLUSION_PROMISE_ERROR':
    case 'TLOG_MISSING_INCLUSION_ERROR':
      return denied(
        `it was altered: the log whose key ${field} has did not promise or prove to have recorded this (${message}); sign it again, with an upload to the log`,
      );
    case 'CERTIFICATE_ERROR':
    case 'PUBLIC_KEY_ERROR':
    case 'TIMESTAMP_ERROR':
    case 'NOT_IMPLEMENTED_ERROR':
      return denied(`it cannot be verified: ${message}; sign it again`);
  }
}

function denied(message: string): ArtifactError {
  return new ArtifactError('denied', message);
}
