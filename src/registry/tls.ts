import { readFileSync } from 'node:fs';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import { ArtifactError } from '../util/error.ts';
import { openRecent } from './recent.ts';
import { type Trust, verifyCertificates } from './trust.ts';

/** The TLS side of connections, made once: reading the system's certificates takes tens of milliseconds. */
export type Tls = {
  /** TLS 1.2 at least, with what is trusted and shown. */
  options(trust: Trust): { readonly secureContext: SecureContext; readonly rejectUnauthorized: boolean };
};

/** Trusts the system's certificates, or those of Node where the system has none, and those that are added (PEM). */
export function openTls(added: readonly string[]): Tls {
  const contexts = openRecent<SecureContext>();
  return {
    options({ id, insecure, ca, pairs }) {
      const secureContext = contexts.take(`${insecure} ${id}`, () =>
        createSecureContext({
          minVersion: 'TLSv1.2',
          ...(insecure ? {} : { ca: [...baseCertificates(), ...added, ...ca] }),
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

/**
 * The certificates of a file (PEM). It is read at start, where a mistake is seen.
 *
 * @throws ArtifactError `invalid` if it cannot be read or holds no certificate.
 */
export function readCaFile(caFile: string): string {
  try {
    const pem = readFileSync(caFile, 'utf8');
    verifyCertificates(pem, caFile);
    return pem;
  } catch (thrown) {
    if (thrown instanceof ArtifactError) throw thrown;
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw new ArtifactError(
      'invalid',
      `the CA file ${caFile} cannot be read: ${why}; correct --ca-file`,
      thrown,
    );
  }
}
