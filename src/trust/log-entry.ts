import { createPublicKey, X509Certificate } from 'node:crypto';
import type { TransparencyLogEntry } from '@sigstore/bundle';
import type { TrustMaterial } from '@sigstore/verify';
import { ArtifactError } from '../util/error.ts';
import { type JsonObject, parseJsonObject } from './json-object.ts';
import { keyId, type PublicKey } from './public-key.ts';

type Log = TrustMaterial['tlogs'][number];

const always = { start: new Date(0), end: new Date(8.64e15) };

/**
 * Rekor logs by their keys alone, which is all that policy.json has. A checkpoint also names its log, and the library
 * wants that name to be part of the log's URL: the checkpoints themselves stand in for it, as the key is proof enough.
 */
export function toLogs(keys: readonly PublicKey[], entries: readonly TransparencyLogEntry[]): Log[] {
  const names = entries.map(entry => entry.inclusionProof?.checkpoint?.envelope ?? '').join('\n');
  return keys.map(key => ({ logID: keyId(key), baseURL: names, publicKey: key.key, validFor: always }));
}

/**
 * Checks that what a log recorded is a signature by this signer: with ECDSA, one signature can be made to fit other
 * keys too. Whether log, signature and content fit is the library's to check.
 *
 * @throws ArtifactError `denied`; `invalid` for an entry of another kind than hashedrekord and dsse, version 0.0.1.
 */
export function verifyRecordedSigner(entry: TransparencyLogEntry, signer: PublicKey): void {
  const body = parseJsonObject(entry.canonicalizedBody.toString(), 'the body of its log entry');
  const kind = `${body.text('kind')} ${body.text('apiVersion')}`;
  const spec = body.object('spec');
  const pems = kind === 'hashedrekord 0.0.1' ? ofRecord(spec) : kind === 'dsse 0.0.1' ? ofEnvelope(spec) : [];
  if (pems.length === 0) {
    throw new ArtifactError('invalid', `its log entry is a ${kind}; hashedrekord and dsse 0.0.1 can be read`);
  }
  if (pems.every(pem => toDer(pem).equals(signer.der))) return;
  throw new ArtifactError(
    'denied',
    `its log entry is of another signer than ${signer.label}; sign it again, with an upload to the log`,
  );
}

function ofRecord(spec: JsonObject | undefined): readonly string[] {
  const content = spec?.object('signature')?.object('publicKey')?.text('content');
  return content === undefined ? [] : [content];
}

function ofEnvelope(spec: JsonObject | undefined): readonly string[] {
  return (spec?.objects('signatures') ?? []).map(signature => signature.text('verifier') ?? '');
}

/** The public key in base64 of PEM, a certificate's too. */
function toDer(base64: string): Buffer {
  const pem = Buffer.from(base64, 'base64');
  const key = pem.includes('BEGIN CERTIFICATE') ? new X509Certificate(pem).publicKey : createPublicKey(pem);
  return key.export({ type: 'spki', format: 'der' });
}
