import { hash, type KeyObject, timingSafeEqual, verify } from 'node:crypto';
import { dsse } from '@sigstore/core';
import type { SignedEntity } from '@sigstore/verify';

type Signature = SignedEntity['signature'];

/**
 * A signature of an envelope (DSSE). Unlike the library's own class it supports SHA-384 and SHA-512, with which cosign
 * signs by keys on P-384 and P-521.
 */
export function toEnvelopeSignature(payloadType: string, payload: Buffer, signature: Buffer): Signature {
  const signed = dsse.preAuthEncoding(payloadType, payload);
  return {
    signature,
    compareSignature: other => isEqual(other, signature),
    compareDigest: digest => isEqual(digest, hash('sha256', payload, 'buffer')),
    compareSignedDigest: digest =>
      ['sha256', 'sha384', 'sha512'].some(algorithm => isEqual(digest, hash(algorithm, signed, 'buffer'))),
    verifySignature: key => hashesOf(key).some(algorithm => verify(algorithm, signed, key, signature)),
  };
}

/** The hashes that a key may sign with; null: the kind of key has its own. */
function hashesOf(key: KeyObject): readonly (string | null)[] {
  switch (key.asymmetricKeyDetails?.namedCurve) {
    case 'secp384r1':
      return ['sha384', 'sha256'];
    case 'secp521r1':
      return ['sha512', 'sha256'];
    default:
      return [key.asymmetricKeyType === 'ed25519' ? null : 'sha256'];
  }
}

export function isEqual(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && timingSafeEqual(left, right);
}
