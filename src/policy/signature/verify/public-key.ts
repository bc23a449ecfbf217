import { createPublicKey, hash, type KeyObject } from 'node:crypto';
import { ArtifactError } from '../../../util/error.ts';

/** A key of the policy. `label` says where it is from, for people. */
export type PublicKey = { readonly label: string; readonly key: KeyObject; readonly der: Buffer };

/**
 * The public key that PEM holds, PKIX or PKCS #1.
 *
 * @throws ArtifactError `invalid` for anything else, a private key too: it has no place on a node.
 */
export function parsePublicKey(pem: string, label: string): PublicKey {
  if (!/-----BEGIN (?:RSA )?PUBLIC KEY-----/.test(pem) || pem.includes('PRIVATE KEY')) {
    throw new ArtifactError('invalid', `${label} must be one public key in PEM, as cosign.pub is`);
  }
  try {
    const key = createPublicKey(pem);
    return { label, key, der: key.export({ type: 'spki', format: 'der' }) };
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : '';
    throw new ArtifactError('invalid', `${label} is no public key: ${why}`, thrown);
  }
}

/** What cosign calls a key by in a bundle, and Rekor a log, there in base64 and here in hex: the sha256 of its DER. */
export function keyId({ der }: PublicKey): Buffer {
  return hash('sha256', der, 'buffer');
}
