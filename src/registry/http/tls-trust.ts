import { createHash, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { ArtifactError } from '../../util/error.ts';

/** A client certificate and its key, in PEM. */
export type Pair = { readonly cert: string; readonly key: string };

/**
 * How a server is verified, and the client certificates it receives. `insecure`: its certificate is not verified. `ca`:
 * PEM certificates to trust beside the system's. `id` is equal for equal `ca` and `pairs`, and reveals nothing of a
 * key.
 */
export type TlsTrust = {
  readonly id: string;
  readonly insecure: boolean;
  readonly ca: readonly string[];
  readonly pairs: readonly Pair[];
};

export const plainTrust: TlsTrust = { id: '', insecure: false, ca: [], pairs: [] };

/** The trust of an `insecure` endpoint. */
export const blindTrust: TlsTrust = { ...plainTrust, insecure: true };

export function toTrust(ca: readonly string[], pairs: readonly Pair[]): TlsTrust {
  if (ca.length === 0 && pairs.length === 0) return plainTrust;
  const id = createHash('sha256')
    .update(JSON.stringify([ca, pairs]))
    .digest('hex');
  return { id, insecure: false, ca, pairs };
}

/** Combines both; `insecure` is that of the left one. */
export function joinTrust(left: TlsTrust, right: TlsTrust): TlsTrust {
  if (right.id === '' || right.id === left.id) return left;
  return {
    id: left.id === '' ? right.id : `${left.id} ${right.id}`,
    insecure: left.insecure,
    ca: [...left.ca, ...right.ca],
    pairs: [...left.pairs, ...right.pairs],
  };
}

/** Returns the trust for another server that a trusted one names: it receives no client certificate. */
export function withoutPairs(trust: TlsTrust): TlsTrust {
  return trust.pairs.length === 0 ? trust : { ...trust, id: `${trust.id} alone`, pairs: [] };
}

/** @throws ArtifactError `invalid` naming the file if it is not a PEM certificate. */
export function verifyCertificates(pem: string, file: string): void {
  verify(`the CA file ${file} holds no certificates in PEM`, () => {
    void new X509Certificate(pem);
    createSecureContext({ ca: pem });
  });
}

/** @throws ArtifactError `invalid` naming the files if certificate and key do not match. */
export function verifyPair(pair: Pair, certFile: string, keyFile: string): void {
  verify(`${certFile} and ${keyFile} are no certificate with its key in PEM`, () => {
    createSecureContext(pair);
  });
}

function verify(failure: string, run: () => void): void {
  try {
    run();
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw new ArtifactError('invalid', `${failure}: ${why}`, thrown);
  }
}
