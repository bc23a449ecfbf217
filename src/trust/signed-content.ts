import { type SignedEntity, VerificationError, Verifier } from '@sigstore/verify';
import { ArtifactError } from '../util/error.ts';
import type { Certificate } from './certificate-form.ts';
import { type Authority, toPublicKey, verifyCertificate } from './certificate.ts';
import { toLogs, verifyRecordedSigner } from './log-entry.ts';
import { keyId, type PublicKey } from './public-key.ts';

/** Who may sign and which logs must have it, with the keys themselves; `field` is where the policy says so. */
export type Trusted = {
  readonly field: string;
  readonly signer:
    | { readonly kind: 'keys'; readonly keys: readonly PublicKey[] }
    | { readonly kind: 'fulcio'; readonly authority: Authority };
  readonly logs: readonly PublicKey[];
};

/** A signature with what came with it. */
export type SignedContent = Pick<SignedEntity, 'signature' | 'tlogEntries'> & {
  /** What it says of its key (keyId in base64), if anything. */
  readonly hint?: string;
  readonly certificate?: Certificate;
  /** Intermediate certificates. */
  readonly chain: readonly Certificate[];
};

/**
 * Proves that one whom the policy trusts made the signature, and that a log it trusts recorded it where it wants one.
 * What the policy does not name, entries of other logs and timestamps, is not looked at.
 *
 * @returns who it was, for people. @throws ArtifactError `denied` saying what is wrong and what to do.
 */
export function verifySigned(content: SignedContent, trusted: Trusted): string {
  const { signer, logs, field } = trusted;
  if (logs.length > 0 && ofLogs(content.tlogEntries, logs).length === 0) {
    const which = content.tlogEntries.length === 0 ? 'a log' : 'one of the logs that are trusted';
    throw denied(
      `it has no proof that ${which} recorded it, which ${field} wants by its rekorPublicKey; sign it again, with an upload to the log, or name the key of the log it is in`,
    );
  }
  if (signer.kind === 'keys') return verifyByKeys(content, signer.keys, trusted);
  const { certificate } = content;
  if (certificate === undefined) {
    throw denied(
      `it has no certificate, which ${signer.authority.field} wants; sign it without a key, or trust the key by keyPath`,
    );
  }
  const key = toPublicKey(certificate);
  verifyBy(key, content, trusted, time =>
    verifyCertificate(certificate, content.chain, signer.authority, time),
  );
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

/** `judge`, if any, judges each time at which a log promises to have recorded it; then there must be one. */
function verifyBy(
  key: PublicKey,
  { signature, tlogEntries }: SignedContent,
  { field, logs }: Trusted,
  judge: ((time: Date) => void) | undefined,
): void {
  const entries = ofLogs(tlogEntries, logs);
  const timed = entries.filter(entry => entry.inclusionPromise !== undefined);
  const verifier = new Verifier(
    {
      certificateAuthorities: [],
      timestampAuthorities: [],
      ctlogs: [],
      tlogs: toLogs(logs, entries),
      publicKey: () => ({
        publicKey: key.key,
        validFor: time => {
          judge?.(time);
          return true;
        },
      }),
    },
    {
      tlogThreshold: logs.length === 0 ? 0 : 1,
      timestampThreshold: judge === undefined ? 0 : 1,
      ctlogThreshold: 0,
    },
  );
  try {
    verifier.verify({
      signature,
      key: { $case: 'public-key', hint: '' },
      tlogEntries: entries,
      timestamps: timed.map(tlogEntry => ({ $case: 'transparency-log', tlogEntry })),
    });
  } catch (thrown) {
    throw thrown instanceof VerificationError ? explain(thrown, key, field) : thrown;
  }
  for (const entry of entries) verifyRecordedSigner(entry, key);
}

function ofLogs(
  entries: SignedContent['tlogEntries'],
  logs: readonly PublicKey[],
): SignedContent['tlogEntries'] {
  return entries.filter(({ logId }) => logs.some(log => keyId(log).equals(logId.keyId)));
}

function explain({ code, message }: VerificationError, key: PublicKey, field: string): ArtifactError {
  switch (code) {
    case 'SIGNATURE_ERROR':
      return denied(`it was altered: ${key.label} does not verify it; sign it again`);
    case 'TLOG_BODY_ERROR':
      return denied(
        `it was altered: its log entry is of something else (${message}); sign it again, with an upload to the log`,
      );
    case 'TIMESTAMP_ERROR':
      return denied(
        `no log that ${field} names promises when it recorded it, so that its certificate cannot be judged; sign it with an upload to a Rekor log (version 1)`,
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
    case 'NOT_IMPLEMENTED_ERROR':
      return denied(`it cannot be verified: ${message}; sign it again`);
  }
}

function denied(message: string): ArtifactError {
  return new ArtifactError('denied', message);
}
