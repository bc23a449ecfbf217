import { createPublicKey, hash, X509Certificate } from 'node:crypto';
import type { TransparencyLogEntry } from '@sigstore/bundle';
import type { TrustMaterial } from '@sigstore/verify';
import type { Table } from '../../../configfile/field.ts';
import { parseJsonObject } from '../../../configfile/json.ts';
import { ArtifactError } from '../../../util/error.ts';
import type { Certificate } from './certificate-form.ts';
import { keyId, type PublicKey } from './public-key.ts';

export type Period = { readonly start: Date; readonly end: Date };

/** A transparency log. `policy.json` has only its key; a trusted root has more. */
export type Log = {
  readonly publicKey: PublicKey;
  /** Its ID in entries; undefined: derived from its key. */
  readonly id?: Buffer;
  readonly baseUrl?: string;
  readonly period: Period;
};

export const always: Period = { start: new Date(0), end: new Date(8.64e15) };

export function isWithin({ start, end }: Period, time: Date): boolean {
  return start <= time && time <= end;
}

/** Returns the log that an entry names, if it is one of these. */
export function findLog(logs: readonly Log[], entry: TransparencyLogEntry): Log | undefined {
  return logs.find(log => (log.id ?? derivedId(log.publicKey, entry)).equals(entry.logId.keyId));
}

/**
 * Makes a log for the library, for one entry. A checkpoint also names its log, and the library requires that name in
 * the log's URL: if only the key is known, the checkpoint's name is used, because the key is proof enough.
 */
export function toLibraryLog(log: Log, entry: TransparencyLogEntry): TrustMaterial['tlogs'][number] {
  return {
    logID: entry.logId.keyId,
    baseURL: log.baseUrl ?? checkpointOf(entry),
    publicKey: log.publicKey.key,
    validFor: log.period,
  };
}

/**
 * Checks what the library ignores in a verified entry: the proof's own root and size, which the checkpoint decides; and
 * in version 2 of Rekor, whose entries have no promise, the index and the log's name.
 *
 * @throws ArtifactError `denied`.
 */
export function verifyProof(entry: TransparencyLogEntry, { baseUrl }: Log): void {
  const { inclusionProof: proof, kindVersion } = entry;
  const isSecond = kindVersion.version === '0.0.2';
  if (proof === undefined) {
    if (isSecond) throw altered('has no proof of inclusion');
    return;
  }
  const [origin = '', size, root] = checkpointOf(entry).split('\n');
  const fits = root === Buffer.from(proof.rootHash).toString('base64') && size === proof.treeSize;
  if (!fits) throw altered('has a proof of inclusion that does not fit its checkpoint');
  if (!isSecond) return;
  if (entry.logIndex !== proof.logIndex) throw altered('has two places in the log');
  if (baseUrl !== undefined && (!URL.canParse(baseUrl) || new URL(baseUrl).hostname !== origin)) {
    throw altered('has a checkpoint of a log of another name');
  }
}

/**
 * Checks that a log recorded a signature by this signer: with ECDSA, one signature can be made to match other keys too.
 * The library verifies that log, signature and content match.
 *
 * @throws ArtifactError `denied`; `invalid` for an entry of a kind other than hashedrekord 0.0.1 and 0.0.2 and dsse
 *   0.0.1.
 */
export function verifyRecordedSigner(
  entry: TransparencyLogEntry,
  signer: PublicKey,
  certificate: Certificate | undefined,
): void {
  const body = parseJsonObject(entry.canonicalizedBody, 'the body of its log entry');
  const kind = `${body.text('kind')} ${body.text('apiVersion')}`;
  const recorded = readSigners(kind, body.table('spec'));
  if (recorded.length === 0) {
    throw new ArtifactError(
      'invalid',
      `its log entry is a ${kind}; hashedrekord 0.0.1 and 0.0.2 and dsse 0.0.1 can be read`,
    );
  }
  const expected = certificate?.x509.raw ?? signer.der;
  if (recorded.every(der => der.equals(expected))) return;
  throw new ArtifactError(
    'denied',
    `its log entry is of another signer than ${signer.label}; sign it again, with an upload to the log`,
  );
}

/** Returns the signers in DER: certificates, or keys. */
function readSigners(kind: string, spec: Table | undefined): readonly Buffer[] {
  const inBase64 = (text: string | undefined): Buffer => Buffer.from(text ?? '', 'base64');
  switch (kind) {
    case 'hashedrekord 0.0.1': {
      const content = spec?.table('signature')?.table('publicKey')?.text('content');
      return content === undefined ? [] : [toDer(inBase64(content))];
    }
    case 'hashedrekord 0.0.2': {
      const verifier = spec?.table('hashedRekordV002')?.table('signature')?.table('verifier');
      const written = verifier?.table('x509Certificate') ?? verifier?.table('publicKey');
      return written === undefined ? [] : [inBase64(written.text('rawBytes'))];
    }
    case 'dsse 0.0.1':
      return (spec?.tables('signatures') ?? []).map(one => toDer(inBase64(one.text('verifier'))));
    default:
      return [];
  }
}

function toDer(pem: Buffer): Buffer {
  if (pem.includes('BEGIN CERTIFICATE')) return new X509Certificate(pem).raw;
  return createPublicKey(pem).export({ type: 'spki', format: 'der' });
}

/**
 * Returns the IDs that entries use for a log of which only the key is known: the key's hash, and for Ed25519, which
 * only logs of version 2 have, the hash of name and key (C2SP, signed-note.md). The name is the checkpoint's origin.
 */
function derivedId(publicKey: PublicKey, entry: TransparencyLogEntry): Buffer {
  if (publicKey.key.asymmetricKeyType !== 'ed25519') return keyId(publicKey);
  const [origin = ''] = checkpointOf(entry).split('\n', 1);
  const raw = publicKey.der.subarray(-32);
  return hash('sha256', Buffer.concat([Buffer.from(`${origin}\n`), Buffer.of(1), raw]), 'buffer');
}

function checkpointOf(entry: TransparencyLogEntry): string {
  return entry.inclusionProof?.checkpoint?.envelope ?? '';
}

function altered(why: string): ArtifactError {
  return new ArtifactError(
    'denied',
    `it was altered: its log entry ${why}; sign it again, with an upload to the log`,
  );
}
