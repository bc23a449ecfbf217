import { createHash, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { ArtifactError } from '../../util/error.ts';

/** A client certificate and its key, in PEM. */
export type Pair = { readonly cert: string; readonly key: string };

/**
 * How a server is to prove itself, and what it is shown. `insecure`: its certificate is not looked at. `ca`: PEM
 * certificates to trust beside the system's. `id` is equal for equal `ca` and `pairs`, and tells nothing of a key.
 */
export type TlsTrust = {
  readonly id: string;
  readonly insecure: boolean;
  readonly ca: readonly string[];
  readonly pairs: readonly Pair[];
};

export const plainTrust: TlsTrust = { id: '', insecure: false, ca: [], pairs: [] };

/** What `insecure` alone asks for. */
export const blindTrust: TlsTrust = { ...plainTrust, insecure: true };

export function toTrust(ca: readonly string[], pairs: readonly Pair[]): TlsTrust {
  if (ca.length === 0 && pairs.length === 0) return plainTrust;
  const id = createHash('sha256')
    .update(JSON.stringify([ca, pairs]))
    .digest('hex');
  return { id, insecure: false, ca, pairs };
}

/** Both together; of `insecure` the left one's. */
export function joinTrust(left: TlsTrust, right: TlsTrust): TlsTrust {
  if (right.id === '' || right.id === left.id) return left;
  return {
    id: left.id === '' ? right.id : `${left.id} ${right.id}`,
    insecure: left.insecure,
    ca: [...left.ca, ...right.ca],
    pairs: [...left.pairs, ...right.pairs],
  };
}

/** The same for another server that the trusted one names: it is shown no certificate of ours. */
export function withoutPairs(trust: TlsTrust): TlsTrust {
  return trust.pairs.length === 0 ? trust : { ...trust, id: `${trust.id} alone`, pairs: [] };
}

/** @throws ArtifactError `invalid` naming the file, for what is no PEM certificate. */
export function verifyCertificates(pem: string, file: string): void {
  verify(`the CA file ${file} holds no certificates in PEM`, () => {
    void new X509Certificate(pem);
    createSecureContext({ ca: pem });
  });
}

/** @throws ArtifactError `invalid` naming the files, for a certificate and a key that do not belong together. */
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
