import { execFileSync } from 'node:child_process';

/** A self-signed certificate for loopback, with its key, in PEM. It is its own CA file. */
export function makeCertificate(subjectAltName = 'IP:127.0.0.1,DNS:localhost'): {
  readonly key: string;
  readonly cert: string;
} {
  const pem = execFileSync(
    'openssl',
    `req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 1 -subj /CN=registry.test -addext subjectAltName=${subjectAltName} -keyout - -out -`.split(
      ' ',
    ),
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
  );
  const [key = '', cert = ''] = pem.match(/-----BEGIN [^-]+-----[^-]+-----END [^-]+-----\n/g) ?? [];
  return { key, cert };
}
