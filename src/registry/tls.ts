import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import { ArtifactError } from '../util/error.ts';

/** The TLS side of connections, made once: reading the system's certificates takes tens of milliseconds. */
export type Tls = {
  /** TLS 1.2 at least. With `insecure` the certificate is not looked at. */
  options(insecure: boolean): {
    readonly secureContext: SecureContext;
    readonly rejectUnauthorized: boolean;
  };
};

/**
 * Trusts the system's certificates, or those of Node where the system has none, and those of `caFile` (PEM).
 *
 * @throws ArtifactError `invalid` if `caFile` cannot be read or holds no certificate.
 */
export function openTls(caFile: string | undefined): Tls {
  const added = caFile === undefined ? [] : [readCertificates(caFile)];
  let verifying: SecureContext | undefined;
  let trusting: SecureContext | undefined;
  return {
    options(insecure) {
      if (insecure) {
        trusting ??= createSecureContext({ minVersion: 'TLSv1.2' });
        return { secureContext: trusting, rejectUnauthorized: false };
      }
      verifying ??= createSecureContext({ minVersion: 'TLSv1.2', ca: [...baseCertificates(), ...added] });
      return { secureContext: verifying, rejectUnauthorized: true };
    },
  };
}

function baseCertificates(): string[] {
  const system = getCACertificates('system');
  return system.length > 0 ? system : getCACertificates('bundled');
}

/** Read at start, where a mistake is seen. */
function readCertificates(caFile: string): string {
  try {
    const pem = readFileSync(caFile, 'utf8');
    void new X509Certificate(pem);
    return pem;
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw new ArtifactError('invalid', `the CA file ${caFile} holds no certificates in PEM: ${why}`, thrown);
  }
}
