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
 * @throws ArtifactError `invalid` at first use if `caFile` cannot be read.
 */
export function openTls(caFile: string | undefined): Tls {
  let verifying: SecureContext | undefined;
  let trusting: SecureContext | undefined;
  return {
    options(insecure) {
      if (insecure) {
        trusting ??= createSecureContext({ minVersion: 'TLSv1.2' });
        return { secureContext: trusting, rejectUnauthorized: false };
      }
      verifying ??= createSecureContext({ minVersion: 'TLSv1.2', ca: roots(caFile) });
      return { secureContext: verifying, rejectUnauthorized: true };
    },
  };
}

function roots(caFile: string | undefined): string[] {
  const system = getCACertificates('system');
  const base = system.length > 0 ? system : getCACertificates('bundled');
  if (caFile === undefined) return base;
  try {
    return [...base, readFileSync(caFile, 'utf8')];
  } catch (thrown) {
    throw new ArtifactError('invalid', `the CA file ${caFile} cannot be read: ${String(thrown)}`, thrown);
  }
}
