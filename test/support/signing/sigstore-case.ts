import type { Digest } from '../../../src/oci/digest.ts';
import {
  type BundleOptions,
  identity,
  oidcIssuer,
  openSigstore,
  type TestSigstore,
  type trustedRootOf,
} from './sigstore.ts';
import { makePair, type Pair } from './x509.ts';

export const sigstore: TestSigstore = openSigstore();
export const stranger: TestSigstore = openSigstore();
export const pair: Pair = makePair();
export const identityArguments: readonly string[] = [
  '--certificate-identity',
  identity,
  '--certificate-oidc-issuer',
  oidcIssuer,
];

/** A case for the driver and cosign; by default a keyless signature under the whole trusted root. */
export type Case = {
  readonly what: string;
  readonly bundle?: BundleOptions;
  /** The bundle, as JSON. */
  readonly alter?: (bundle: string) => string;
  readonly of?: Digest;
  readonly sigstore?: TestSigstore;
  readonly leaveOut?: Parameters<typeof trustedRootOf>[1];
  /** Additional or replaced fields of the requirement. */
  readonly policy?: object;
  readonly cosign?: readonly string[];
};

export const byKey = (key: Pair = pair): Pick<Case, 'bundle' | 'policy' | 'cosign'> => {
  const pem = key.publicKey.export({ type: 'spki', format: 'pem' });
  return {
    bundle: { pair: key, stamps: 0 },
    policy: { fulcio: undefined, keyData: Buffer.from(pem).toString('base64') },
    cosign: ['--key', 'key.pub'],
  };
};
export const fulcio = (fields: object): object => ({ fulcio: { oidcIssuer, ...fields } });
