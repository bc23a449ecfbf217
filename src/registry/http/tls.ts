import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import { openLru } from './lru.ts';
import type { TlsTrust } from './tls-trust.ts';

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
