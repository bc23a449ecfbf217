import { hash, type KeyObject, verify } from 'node:crypto';
import type { TransparencyLogEntry } from '@sigstore/bundle';
import type { Table } from '../../../configfile/field.ts';
import { parseJsonObject } from '../../../configfile/json.ts';
import type { Digest } from '../../../oci/digest.ts';
import { ArtifactError } from '../../../util/error.ts';
import { quoteName } from '../../../util/name.ts';
import { parseCertificates } from './certificate.ts';
import { isEqual } from './dsse.ts';
import type { SignedContent } from './signed-content.ts';

/** The media type of a layer whose blob is a payload; its annotations are the signature (cosign, SIGNATURE_SPEC.md). */
export const simpleSigning = 'application/vnd.dev.cosign.simplesigning.v1+json';

const annotation = {
  signature: 'dev.cosignproject.cosign/signature',
  certificate: 'dev.sigstore.cosign/certificate',
  chain: 'dev.sigstore.cosign/chain',
  bundle: 'dev.sigstore.cosign/bundle',
} as const;

/** The maximum bytes. Certificates and log entries have some KiB; longer ones would block the thread. */
const longestAnnotation = 64 * 1024;

/** The claim of a payload; valid once its signature is verified. */
export type Claim = { readonly digest: string; readonly identity: string };

/**
 * Reads a layer of a `.sig` manifest as a signature of its payload, by SHA-256 unless the kind of key determines the
 * hash.
 *
 * @throws ArtifactError `invalid` naming the annotation that is missing or invalid.
 */
export function toSimpleSigned(
  payload: Uint8Array,
  annotations: Readonly<Record<string, string>>,
): SignedContent {
  const long = Object.values(annotation).find(key => (annotations[key]?.length ?? 0) > longestAnnotation);
  if (long !== undefined) throw new ArtifactError('invalid', `${long} has more than 64 KiB`);
  const text = annotations[annotation.signature];
  if (text === undefined) throw new ArtifactError('invalid', `it has no annotation ${annotation.signature}`);
  const signature = fromBase64(text, annotation.signature);
  const [certificate, another] = parseCertificates(
    annotations[annotation.certificate] ?? '',
    annotation.certificate,
  );
  if (another !== undefined)
    throw new ArtifactError('invalid', `${annotation.certificate} has two certificates`);
  const bundle = annotations[annotation.bundle];
  return {
    signature: {
      signature,
      compareSignature: other => isEqual(other, signature),
      compareDigest: digest => isEqual(digest, sha256(payload)),
      compareSignedDigest: digest => isEqual(digest, sha256(payload)),
      verifySignature: key => verifies(payload, key, signature),
    },
    ...(certificate === undefined ? {} : { certificate }),
    timestamps: [],
    chain: parseCertificates(annotations[annotation.chain] ?? '', annotation.chain),
    tlogEntries: bundle === undefined ? [] : [parseLogEntry(parseJsonObject(bundle, annotation.bundle))],
  };
}

/**
 * Parses the claim of a payload. To be called after its signature is verified.
 *
 * @throws ArtifactError `invalid` for anything but cosign's claim, also with an extra field.
 */
export function parseClaim(payload: Uint8Array): Claim {
  const top = parseJsonObject(payload, 'the payload');
  top.only('critical', 'optional');
  const critical = top.table('critical');
  const image = critical?.table('image');
  const identity = critical?.table('identity');
  critical?.only('type', 'image', 'identity');
  image?.only('docker-manifest-digest');
  identity?.only('docker-reference');
  const digest = image?.text('docker-manifest-digest');
  const name = identity?.text('docker-reference');
  const type = critical?.text('type');
  if (type === 'cosign container image signature' && digest !== undefined && name !== undefined) {
    return { digest, identity: name };
  }
  throw new ArtifactError('invalid', 'what it signs is not cosign\'s claim of an image ("critical")');
}

/** @throws ArtifactError `denied` if the claim is of something else. */
export function verifyDigest(claim: Claim, digest: Digest): void {
  if (claim.digest === digest) return;
  throw new ArtifactError(
    'denied',
    `it signs another digest, ${quoteName(claim.digest)}; sign ${digest} itself`,
  );
}

function parseLogEntry(bundle: Table): TransparencyLogEntry {
  bundle.only('SignedEntryTimestamp', 'Payload');
  const payload = bundle.table('Payload');
  payload?.only('body', 'integratedTime', 'logIndex', 'logID');
  const promise = bundle.text('SignedEntryTimestamp');
  const body = payload?.text('body');
  const time = payload?.count('integratedTime');
  const index = payload?.count('logIndex');
  const log = payload?.text('logID');
  if (!promise || !body || time === undefined || index === undefined || !log) {
    throw new ArtifactError('invalid', `${bundle.path} is not what Rekor answers`);
  }
  return {
    logIndex: String(index),
    logId: { keyId: Buffer.from(log, 'hex') },
    kindVersion: { kind: 'hashedrekord', version: '0.0.1' },
    integratedTime: String(time),
    inclusionPromise: { signedEntryTimestamp: fromBase64(promise, bundle.at('SignedEntryTimestamp')) },
    inclusionProof: undefined,
    canonicalizedBody: fromBase64(body, `${bundle.path}.Payload.body`),
  };
}

function fromBase64(text: string, name: string): Buffer {
  try {
    return Buffer.from(Uint8Array.fromBase64(text, { lastChunkHandling: 'strict' }));
  } catch (thrown) {
    throw new ArtifactError('invalid', `${name} is not base64`, thrown);
  }
}

function verifies(payload: Uint8Array, key: KeyObject, signature: Uint8Array): boolean {
  const kind = key.asymmetricKeyType;
  return verify(kind === 'ed25519' || kind === 'ed448' ? null : 'sha256', payload, key, signature);
}

function sha256(bytes: Uint8Array): Buffer {
  return hash('sha256', bytes, 'buffer');
}
