import { createPublicKey, hash, type KeyObject } from 'node:crypto';
import { ArtifactError } from '../../../util/error.ts';
import { describePem } from '../../../util/pem.ts';

/** A key of the policy. `label` names its source in messages. */
export type PublicKey = { readonly label: string; readonly key: KeyObject; readonly der: Buffer };

/**
 * Parses a public key in PEM, PKIX or PKCS #1.
 *
 * @throws ArtifactError `invalid` for anything else, including a private key: it must not be on a node.
 */
export function parsePublicKey(pem: string, label: string): PublicKey {
  if (!/-----BEGIN (?:RSA )?PUBLIC KEY-----/.test(pem) || pem.includes('PRIVATE KEY')) {
    throw new ArtifactError(
      'invalid',
      `${label} must be one public key in PEM, as cosign.pub is (-----BEGIN PUBLIC KEY-----), and has ${describePem(pem)}`,
    );
  }
  try {
    const key = createPublicKey(pem);
    return { label, key, der: key.export({ type: 'spki', format: 'der' }) };
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : '';
    throw new ArtifactError('invalid', `${label} is no public key: ${why}`, thrown);
  }
}

/** Returns the ID of a key: the sha256 of its DER in hex. cosign uses it in base64 in bundles, Rekor for a log. */
export function keyId({ der }: PublicKey): Buffer {
  return hash('sha256', der, 'buffer');
}
