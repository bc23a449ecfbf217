import { findPathFlaw } from '../../../linux/libcrypto.ts';
import { quoteName } from '../../../util/name.ts';
import { type Certificate, type GeneralName, nameConstraints } from './certificate-form.ts';

/** The purpose of a path: extended key usages, by their object identifiers. */
export const codeSigning = '1.3.6.1.5.5.7.3.3';
export const timeStamping = '1.3.6.1.5.5.7.3.8';
const anyPurpose = '2.5.29.37.0';

/** The roots are trusted and self-signed. The intermediates are untrusted, whatever their source. */
export type Authorities = {
  readonly roots: readonly Certificate[];
  readonly intermediates: readonly Certificate[];
};

/** The maximum number of intermediates. */
const maxIntermediates = 16;

/**
 * Returns why a certificate is not valid for a purpose at a time; undefined if it is. OpenSSL verifies the path. It
 * receives only certificates that declare themselves a CA (OpenSSL alone would accept the key usage for signing
 * certificates instead) and whose own purposes include this one: a CA for servers does not certify signers.
 */
export function findFlaw(
  leaf: Certificate,
  { roots, intermediates }: Authorities,
  time: Date,
  purpose: string,
): string | undefined {
  if (!permits(leaf, purpose))
    return `it is not for ${purpose === codeSigning ? 'code signing' : 'timestamps'}`;
  if (intermediates.length > maxIntermediates) {
    return `${intermediates.length} intermediate certificates came with it; ${maxIntermediates} are looked at`;
  }
  if ([...roots, ...intermediates].some(({ extensions }) => extensions.has(nameConstraints))) {
    const name = leaf.names.find(name => !canBeConstrained(name));
    if (name !== undefined)
      return `a CA has name constraints, which cannot be applied to ${quoteName(name.text)}`;
  }
  const serves = (list: readonly Certificate[]): readonly Uint8Array[] =>
    list
      .filter(certificate => certificate.x509.ca && permits(certificate, purpose))
      .map(({ x509 }) => x509.raw);
  const trusted = serves(roots);
  if (trusted.length === 0) return `no CA is for ${purpose === codeSigning ? 'code signing' : 'timestamps'}`;
  return findPathFlaw({
    leaf: leaf.x509.raw,
    intermediates: serves(intermediates),
    roots: trusted,
    time,
  });
}

/**
 * Whether OpenSSL finds the host of a name where other verifiers do. RFC 5280 (section 4.2.1.10) refuses a URI without
 * a host name under constraints; OpenSSL does not parse user names, queries and fragments.
 */
function canBeConstrained({ kind, text }: GeneralName): boolean {
  if (kind === 'email') return /^[^@\s]+@[^@\s]+$/.test(text);
  if (kind !== 'uri') return true;
  const host = /^[^:/]+:\/\/([\w.-]+)(?::\d+)?(?:\/.*)?$/.exec(text)?.[1];
  return host !== undefined && !/(?:^|\.)(?:\d+|0x[\da-f]*)\.?$/i.test(host);
}

/** Whether one certificate has signed another, or itself, as a CA. */
export function isIssuedBy({ x509 }: Certificate, { x509: issuer }: Certificate): boolean {
  return issuer.ca && x509.checkIssued(issuer) && x509.verify(issuer.publicKey);
}

export function nameOf({ x509 }: Certificate): string {
  return quoteName(x509.subject);
}

/** Whether a certificate may be used for a purpose: it names this one, or any, or none at all. */
export function permits({ purposes }: Certificate, purpose: string): boolean {
  return purposes === undefined || purposes.includes(purpose) || purposes.includes(anyPurpose);
}
