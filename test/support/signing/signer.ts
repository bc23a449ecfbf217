import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

/** A signer. `pem` is the public key; `certificate` comes with the signature in its place. */
export type TestSigner = {
  readonly pem: string;
  readonly certificate?: string;
  sign(bytes: Uint8Array): Buffer;
};

export function toSigner(privateKey: KeyObject, publicKey: KeyObject, certificate?: string): TestSigner {
  return {
    pem: publicKey.export({ type: 'spki', format: 'pem' }),
    sign: bytes => sign(privateKey.asymmetricKeyType === 'ed25519' ? null : 'sha256', bytes, privateKey),
    ...(certificate === undefined ? {} : { certificate }),
  };
}

export function makeSigner(kind: 'ec' | 'rsa' | 'ed25519' = 'ec'): TestSigner {
  const pair =
    kind === 'ec'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : kind === 'rsa'
        ? generateKeyPairSync('rsa', { modulusLength: 2048 })
        : generateKeyPairSync('ed25519');
  return toSigner(pair.privateKey, pair.publicKey);
}
