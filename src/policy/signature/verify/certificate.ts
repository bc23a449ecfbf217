import type { TrustMaterial } from '@sigstore/verify';
import { ArtifactError } from '../../../util/error.ts';
import { quoteName } from '../../../util/name.ts';
import { describePem } from '../../../util/pem.ts';
import { type Certificate, type GeneralName, parseCertificate } from './certificate-form.ts';
import { verifyRecordedCertificate } from './certificate-log.ts';
import { type Authorities, codeSigning, findFlaw, isIssuedBy, nameOf, permits } from './certificate-path.ts';
import { always, isWithin, type Period } from './log-entry.ts';
import type { PublicKey } from './public-key.ts';
import { isSubject, type Subject } from './subject.ts';

/** A CA, and the validity period of what it issues. */
export type CertificateAuthority = Authorities & { readonly period: Period };

/**
 * The required issuer and subject of Fulcio certificates. `field` is the path in the policy, `source` names the CAs.
 */
export type CertificateRequirement = {
  readonly field: string;
  readonly source: string;
  readonly authorities: readonly CertificateAuthority[];
  /** If there are any, one must have recorded the certificate. */
  readonly certificateLogs: TrustMaterial['ctlogs'];
  readonly oidcIssuer: string;
  readonly subject: Subject;
};

const issuerText = '1.3.6.1.4.1.57264.1.1';
const issuerString = '1.3.6.1.4.1.57264.1.8';

/** @throws ArtifactError `invalid` for anything but PEM certificates, or a chain without a root. */
export function parseAuthorities(pem: string, label: string): CertificateAuthority {
  const certificates = parseCertificates(pem, label);
  if (certificates.length === 0) {
    throw new ArtifactError(
      'invalid',
      `${label} must be certificates in PEM (-----BEGIN CERTIFICATE-----), and has ${describePem(pem)}`,
    );
  }
  for (const certificate of certificates) {
    if (certificates.some(issuer => isIssuedBy(certificate, issuer))) continue;
    throw new ArtifactError(
      'invalid',
      `${label} has the certificate of ${nameOf(certificate)} and not the one of its issuer, ${quoteName(certificate.x509.issuer)}; append it, up to the root`,
    );
  }
  const isRoot = (certificate: Certificate): boolean => isIssuedBy(certificate, certificate);
  return {
    roots: certificates.filter(isRoot),
    intermediates: certificates.filter(certificate => !isRoot(certificate)),
    period: always,
  };
}

/** @throws ArtifactError `invalid` naming what is not a certificate. */
export function parseCertificates(pem: string, label: string): readonly Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  try {
    return blocks.map(block =>
      parseCertificate(Buffer.from(block.replace(/-----[^-]+-----/g, ''), 'base64')),
    );
  } catch (thrown) {
    if (!(thrown instanceof ArtifactError)) throw thrown;
    throw new ArtifactError(
      'invalid',
      `${label} has a certificate that cannot be used: ${thrown.message}`,
      thrown,
    );
  }
}

/**
 * Verifies that a certificate was valid for signing at a time, and has the subject that the policy names. `offered` are
 * intermediates that came with the signature: they count if a trusted issuer has signed them. `by` names the witness of
 * the time, for messages.
 *
 * @throws ArtifactError `denied` with what is wrong with the certificate.
 */
export function verifyCertificate(
  leaf: Certificate,
  offered: readonly Certificate[],
  authority: CertificateRequirement,
  time: Date,
  by: string,
): void {
  const { validFromDate, validToDate } = leaf.x509;
  if (time < validFromDate || time > validToDate) {
    throw denied(
      `its certificate had expired, or was not valid yet: it was good from ${validFromDate.toISOString()} to ${validToDate.toISOString()}, and ${by} at ${time.toISOString()}; sign again, with a fresh certificate`,
    );
  }
  if (!permits(leaf, codeSigning) || !leaf.maySign) {
    throw denied('its certificate is not for code signing; sign with one that is');
  }
  const issuer = verifyPath(leaf, offered, authority, time);
  verifyRecordedCertificate(leaf, issuer, authority.certificateLogs);
  verifyIssuer(leaf, authority);
  verifySubject(leaf, authority);
}

/** @returns the CA that issued it. */
function verifyPath(
  leaf: Certificate,
  offered: readonly Certificate[],
  { authorities, source }: CertificateRequirement,
  time: Date,
): Authorities {
  const flaws: string[] = [];
  for (const { roots, intermediates, period } of authorities) {
    const all = { roots, intermediates: [...intermediates, ...offered] };
    const flaw = isWithin(period, time) ? findFlaw(leaf, all, time, codeSigning) : 'that CA was not in use';
    if (flaw === undefined) return all;
    flaws.push(flaw);
  }
  throw denied(
    `its certificate is from ${quoteName(leaf.x509.issuer)}, and no CA of ${source} vouches for it at ${time.toISOString()} (${[...new Set(flaws)].join('; ')}); if that CA is to be trusted, append its certificate there: bundles bring none but the signer's own`,
  );
}

function verifySubject({ names }: Certificate, { field, subject }: CertificateRequirement): void {
  if (isSubject(subject, names)) return;
  const name = { email: 'subjectEmail', exact: 'subject', pattern: 'subjectRegExp' }[subject.kind];
  throw denied(
    `its certificate is for ${subjectOf(names)}, and ${field}.${name} wants ${subject.text}; sign as that one, or change it there`,
  );
}

/** The certificate's key, with the name of its owner. */
export function toPublicKey(leaf: Certificate): PublicKey {
  const { publicKey } = leaf.x509;
  const der = publicKey.export({ type: 'spki', format: 'der' });
  return { label: `the certificate of ${subjectOf(leaf.names)}`, key: publicKey, der };
}

/** If both extensions for the OpenID issuer exist, they must be equal. */
function verifyIssuer({ extensions }: Certificate, authority: CertificateRequirement): void {
  const said = [
    extensions.get(issuerText)?.value.toString(),
    extensions.get(issuerString)?.content?.value.toString(),
  ].filter(text => text !== undefined);
  if (said.length > 0 && said.every(issuer => issuer === authority.oidcIssuer)) return;
  const who = said.length === 0 ? 'no issuer' : said.map(quoteName).join(' and ');
  throw denied(
    `its certificate names ${who} as who vouched for the signer, and ${authority.field}.oidcIssuer wants ${authority.oidcIssuer}; sign as someone of that issuer, or change it there`,
  );
}

function subjectOf(names: readonly GeneralName[]): string {
  return quoteName(names.map(({ kind, text }) => `${kind}:${text}`).join(', ') || 'nobody');
}

function denied(message: string): ArtifactError {
  return new ArtifactError('denied', message);
}
