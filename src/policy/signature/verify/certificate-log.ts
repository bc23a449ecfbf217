import { hash } from 'node:crypto';
import { ByteStream, EXTENSION_OID_SCT } from '@sigstore/core';
import type { TrustMaterial } from '@sigstore/verify';
import { ArtifactError } from '../../../util/error.ts';
import type { Certificate } from './certificate-form.ts';
import { type Authorities, isIssuedBy } from './certificate-path.ts';

type CertificateLogs = TrustMaterial['ctlogs'];

/**
 * Verifies that one of the certificate logs, if there are any, has promised to record a certificate, by a timestamp
 * embedded in it (RFC 6962, section 3.3). The library does this only for paths that it has verified itself.
 *
 * @throws ArtifactError `denied`.
 */
export function verifyRecordedCertificate(
  leaf: Certificate,
  { roots, intermediates }: Authorities,
  logs: CertificateLogs,
): void {
  if (logs.length === 0) return;
  const issuer = [...intermediates, ...roots].find(authority => isIssuedBy(leaf, authority));
  if (issuer !== undefined && isRecorded(leaf, issuer, logs)) return;
  throw new ArtifactError(
    'denied',
    'no log of certificates that is trusted promises to have recorded its certificate; sign it again, with a certificate of a Fulcio that records them',
  );
}

function isRecorded({ parsed }: Certificate, issuer: Certificate, logs: CertificateLogs): boolean {
  const timestamps = parsed.extSCT?.signedCertificateTimestamps ?? [];
  const signed = toPrecertificate(parsed, issuer);
  return timestamps.some(timestamp =>
    logs.some(
      ({ logID, publicKey, validFor }) =>
        logID.equals(timestamp.logID) &&
        validFor.start <= timestamp.datetime &&
        timestamp.datetime <= validFor.end &&
        timestamp.verify(signed, publicKey),
    ),
  );
}

/**
 * Returns the hash of the issuer's key, and the certificate without its signature and these timestamps (section 3.2).
 */
function toPrecertificate(parsed: Certificate['parsed'], issuer: Certificate): Buffer {
  const copy = parsed.clone();
  const { extensions } = copy;
  const position = extensions.findIndex(({ subs }) => subs[0]?.toOID() === EXTENSION_OID_SCT);
  if (position !== -1) extensions.splice(position, 1);
  const body = copy.tbsCertificate.toDER();
  const stream = new ByteStream();
  const key = issuer.x509.publicKey.export({ type: 'spki', format: 'der' });
  stream.appendView(hash('sha256', key, 'buffer'));
  stream.appendUint24(body.length);
  stream.appendView(body);
  return stream.buffer;
}
