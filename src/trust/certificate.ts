import { X509Certificate } from 'node:crypto';
import { X509Certificate as ParsedCertificate } from '@sigstore/core';
import { VerificationError } from '@sigstore/verify';
// The library's Verifier itself insists on proofs of a certificate transparency log, whose keys policy.json cannot name.
import { CertificateChainVerifier } from '@sigstore/verify/dist/key/certificate.js';
import { quoteName } from '../oci/name.ts';
import { ArtifactError } from '../util/error.ts';
import type { PublicKey } from './public-key.ts';

/** Whom certificates of Fulcio may come from and be for. `field` is where the policy says so. */
export type Authority = {
  readonly field: string;
  readonly certificates: readonly X509Certificate[];
  readonly oidcIssuer: string;
  readonly subjectEmail: string;
};

const codeSigning = '1.3.6.1.5.5.7.3.3';
const anyPurpose = '2.5.29.37.0';
const issuerText = '1.3.6.1.4.1.57264.1.1';
const issuerString = '1.3.6.1.4.1.57264.1.8';

/** @throws ArtifactError `invalid` for anything but PEM certificates, or a chain that has no root in it. */
export function parseAuthorities(pem: string, label: string): readonly X509Certificate[] {
  const certificates = parseCertificates(pem, label);
  if (certificates.length === 0) {
    throw new ArtifactError('invalid', `${label} must be certificates in PEM`);
  }
  for (const certificate of certificates) {
    if (certificates.some(issuer => isIssuedBy(certificate, issuer))) continue;
    throw new ArtifactError(
      'invalid',
      `${label} has the certificate of ${nameOf(certificate)} and not the one of its issuer, ${quoteName(certificate.issuer)}; append it, up to the root`,
    );
  }
  return certificates;
}

/** @throws ArtifactError `invalid` naming what is no certificate. */
export function parseCertificates(pem: string, label: string): readonly X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  try {
    return blocks.map(block => new X509Certificate(block));
  } catch (thrown) {
    throw new ArtifactError('invalid', `${label} has a certificate that cannot be read`, thrown);
  }
}

/**
 * Proves that a certificate was good for signing at a time, and is for the one whom the policy names. `offered` are
 * intermediates that came with the signature: they count if an issuer that counts has signed them.
 *
 * @throws ArtifactError `denied` saying what is wrong with the certificate.
 */
export function verifyCertificate(
  leaf: X509Certificate,
  offered: readonly X509Certificate[],
  authority: Authority,
  time: Date,
): void {
  const trusted = admit(authority.certificates, offered);
  const parsed = toParsed(leaf);
  if (!parsed.validForDate(time)) {
    throw denied(
      `its certificate had expired, or was not valid yet: it was good from ${parsed.notBefore.toISOString()} to ${parsed.notAfter.toISOString()}, and the log recorded the signature at ${time.toISOString()}; sign again, with a fresh certificate`,
    );
  }
  try {
    new CertificateChainVerifier({
      untrustedCert: parsed,
      trustedCerts: trusted.map(toParsed),
      timestamp: time,
    }).verify();
  } catch (thrown) {
    const why = thrown instanceof VerificationError ? thrown.message : 'it cannot be read';
    throw denied(
      `its certificate is from ${quoteName(leaf.issuer)}, and no CA of ${authority.field} vouches for it at ${time.toISOString()} (${why}); if that CA is to be trusted, append its certificate there: bundles bring none but the signer's own`,
    );
  }
  if (!permitsSigning(leaf)) throw denied('its certificate is not for code signing; sign with one that is');
  verifyIssuer(parsed, authority);
  if (leaf.checkEmail(authority.subjectEmail, { subject: 'never' }) === undefined) {
    throw denied(
      `its certificate is for ${quoteName(leaf.subjectAltName ?? 'nobody')}, and ${authority.field}.subjectEmail wants ${authority.subjectEmail}; sign as that one, or change it there`,
    );
  }
}

/** The certificate's key, under the name of its owner. */
export function toPublicKey(leaf: X509Certificate): PublicKey {
  const der = leaf.publicKey.export({ type: 'spki', format: 'der' });
  return { label: `the certificate of ${quoteName(leaf.subjectAltName ?? '')}`, key: leaf.publicKey, der };
}

/** Both extensions that Fulcio writes the OpenID issuer into must say the same where both are there. */
function verifyIssuer(leaf: ParsedCertificate, authority: Authority): void {
  const said = [
    leaf.extension(issuerText)?.value.toString(),
    leaf.extension(issuerString)?.valueObj.subs[0]?.value.toString(),
  ].filter(text => text !== undefined);
  if (said.length > 0 && said.every(issuer => issuer === authority.oidcIssuer)) return;
  const who = said.length === 0 ? 'no issuer' : said.map(quoteName).join(' and ');
  throw denied(
    `its certificate names ${who} as who vouched for the signer, and ${authority.field}.oidcIssuer wants ${authority.oidcIssuer}; sign as someone of that issuer, or change it there`,
  );
}

function admit(
  authorities: readonly X509Certificate[],
  offered: readonly X509Certificate[],
): readonly X509Certificate[] {
  const admitted = authorities.filter(permitsSigning);
  const left = new Set(offered);
  for (const issuer of admitted) {
    for (const certificate of left) {
      if (!permitsSigning(certificate) || !isIssuedBy(certificate, issuer)) continue;
      left.delete(certificate);
      admitted.push(certificate); // and so an issuer further on in this loop
    }
  }
  return admitted;
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

/** Node calls extended key usage, by object identifiers, keyUsage. Without any, there is no limit. */
function permitsSigning({ keyUsage }: X509Certificate): boolean {
  return (
    keyUsage === undefined ||
    keyUsage.length === 0 ||
    keyUsage.includes(codeSigning) ||
    keyUsage.includes(anyPurpose)
  );
}

function toParsed(certificate: X509Certificate): ParsedCertificate {
  return ParsedCertificate.parse(certificate.raw);
}

function nameOf(certificate: X509Certificate): string {
  return quoteName(certificate.subject);
}

function denied(message: string): ArtifactError {
  return new ArtifactError('denied', message);
}
