import { createHash, createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import { ArtifactError } from '../../util/error.ts';
import { openLru } from '../../util/memo.ts';
import { describePem, hasPem } from '../../util/pem.ts';

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
  verifyLabel('the CA file', pem, file, /^(?:X509 |TRUSTED )?CERTIFICATE$/, 'CERTIFICATE');
  verifyPem(`the CA file ${file} has a certificate that cannot be read`, () => {
    void new X509Certificate(pem);
    createSecureContext({ ca: pem });
  });
}

/** @throws ArtifactError `invalid` naming the files if certificate and key do not match. */
export function verifyPair(pair: Pair, certFile: string, keyFile: string): void {
  verifyLabel('the client certificate', pair.cert, certFile, /^CERTIFICATE$/, 'CERTIFICATE');
  const keys = /^(?:(?:RSA|EC) )?PRIVATE KEY$/; // no passphrase could be given
  verifyLabel('the key of a client certificate', pair.key, keyFile, keys, 'PRIVATE KEY', ', not encrypted');
  verifyPem(`the key in ${keyFile} cannot be read`, () => void createPrivateKey(pair.key));
  verifyPem(`the certificate in ${certFile} cannot be read`, () => void new X509Certificate(pair.cert));
  verifyPem(`the key in ${keyFile} is not that of the certificate in ${certFile}`, () => {
    createSecureContext(pair);
  });
}

function verifyLabel(
  what: string,
  pem: string,
  file: string,
  label: RegExp,
  wanted: string,
  more = '',
): void {
  if (hasPem(pem, label)) return;
  throw new ArtifactError(
    'invalid',
    `${what} ${file} must have PEM (-----BEGIN ${wanted}-----${more}), and has ${describePem(pem)}`,
  );
}

function verifyPem(failure: string, run: () => void): void {
  try {
    run();
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw new ArtifactError('invalid', `${failure}: ${why}`, thrown);
  }
}

/** The TLS settings of connections, made once: reading the system's certificates takes tens of milliseconds. */
export type Tls = {
  /** TLS 1.2 or later, with the given trust. */
  options(trust: TlsTrust): { readonly secureContext: SecureContext; readonly rejectUnauthorized: boolean };
};

/** Trusts the system's certificates, or Node's if the system has none, and those of each TlsTrust. */
export function openTls(): Tls {
  const contexts = openLru<SecureContext>();
  return {
    options({ id, insecure, ca, pairs }) {
      const secureContext = contexts.take(`${insecure} ${id}`, () =>
        createSecureContext({
          minVersion: 'TLSv1.2',
          ...(insecure ? {} : { ca: [...baseCertificates(), ...ca] }),
          ...(pairs.length === 0
            ? {}
            : { cert: pairs.map(pair => pair.cert), key: pairs.map(pair => pair.key) }),
        }),
      );
      return { secureContext, rejectUnauthorized: !insecure };
    },
  };
}

function baseCertificates(): string[] {
  const system = getCACertificates('system');
  return system.length > 0 ? system : getCACertificates('bundled');
}
