import type { KeyObject } from 'node:crypto';
import { RFC3161Timestamp } from '@sigstore/core';
import { type SignedEntity, type TrustMaterial, VerificationError, Verifier } from '@sigstore/verify';
import { ArtifactError } from '../../../util/error.ts';
import type { CertificateAuthority } from './certificate.ts';
import type { Certificate } from './certificate-form.ts';
import { findFlaw, timeStamping } from './certificate-path.ts';
import { isWithin } from './log-entry.ts';

/** A timestamp authority (RFC 3161). `entry` is the same for the library. */
export type TimestampAuthority = CertificateAuthority & {
  readonly leaf: Certificate;
  readonly entry: TrustMaterial['timestampAuthorities'][number];
};

/** The maximum bytes. A token has about 1 KiB, or 6 with its certificates. */
const maxTokenBytes = 65_536;

/**
 * Returns when an authority saw a signature. The library verifies that the token is of this signature and by the
 * authority's key. It accepts any certificate for signing timestamps, so the requirements of RFC 3161 (section 2.3) and
 * RFC 5280 are checked first.
 *
 * @throws ArtifactError `denied` with what is wrong with the token.
 */
export function verifyTimestamp(
  token: Uint8Array,
  signed: { readonly signature: SignedEntity['signature']; readonly key: KeyObject },
  authorities: readonly TimestampAuthority[],
): Date {
  if (token.length > maxTokenBytes) throw denied(`has ${token.length} bytes; 64 KiB are read`);
  try {
    const timestamp = RFC3161Timestamp.parse(Buffer.from(token));
    const time = timestamp.signingTime;
    if (timestamp.status > 1n) throw denied('says that it was not granted');
    const flaws = authorities.map(authority => findAuthorityFlaw(authority, time));
    const good = authorities.filter((_, index) => flaws[index] === undefined);
    if (good.length === 0) throw denied(`is by no authority that was good then (${flaws.join('; ')})`);
    verifyToken(timestamp, signed, good);
    return time;
  } catch (thrown) {
    if (thrown instanceof ArtifactError) throw thrown;
    if (thrown instanceof VerificationError) throw denied('is of another signature, or by another authority');
    throw denied('cannot be read');
  }
}

function findAuthorityFlaw({ leaf, ...authority }: TimestampAuthority, time: Date): string | undefined {
  if (!isWithin(authority.period, time)) return `the trusted root wants none of ${time.toISOString()}`;
  const { purposes, extensions } = leaf;
  const purpose = extensions.get('2.5.29.37');
  if (purposes?.length !== 1 || purpose?.critical !== true)
    return 'its certificate is not for timestamps alone';
  return findFlaw(leaf, authority, time, timeStamping);
}

function verifyToken(
  timestamp: RFC3161Timestamp,
  { signature, key }: { readonly signature: SignedEntity['signature']; readonly key: KeyObject },
  authorities: readonly TimestampAuthority[],
): void {
  const material: TrustMaterial = {
    certificateAuthorities: [],
    timestampAuthorities: authorities.map(({ entry }) => entry),
    tlogs: [],
    ctlogs: [],
    publicKey: () => ({ publicKey: key, validFor: () => true }),
  };
  const verifier = new Verifier(material, { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 1 });
  verifier.verify({
    signature,
    key: { $case: 'public-key', hint: '' },
    tlogEntries: [],
    timestamps: [{ $case: 'timestamp-authority', timestamp }],
  });
}

function denied(why: string): ArtifactError {
  return new ArtifactError('denied', `a timestamp ${why}`);
}
