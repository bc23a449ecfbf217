import assert from 'node:assert/strict';
import { parseDigest } from '../../../src/oci/digest.ts';
import { text } from './der.ts';
import { openTestLog } from './log.ts';
import { makeBundle, oidcIssuer, openSigstore } from './sigstore.ts';
import { byKey, type Case, fulcio, pair, sigstore, stranger } from './sigstore-case.ts';
import { openTileLog } from './tile-log.ts';
import { openTestTimestamps } from './timestamp-authority.ts';
import { extension, keyUsage, makePair, nameConstraints, oids, purposes } from './x509.ts';

/** Replaces the match of a pattern, which must exist. */
const replacing = (pattern: RegExp, by: (found: string) => string) => (bundle: string) => {
  assert.match(bundle, pattern);
  return bundle.replace(pattern, by);
};
/** Other base64 of the same length. */
const garble = (found: string): string =>
  `${found.slice(0, -8)}${found.at(-8) === 'A' ? 'B' : 'A'}${found.slice(-7)}`;
const changed = (field: string): Pick<Case, 'alter'> => ({
  alter: replacing(new RegExp(`(?<="${field}":")[^"]+`), garble),
});

/** Cases that both refuse, with the driver's reason. */
export const refused: readonly (Case & { readonly why: RegExp })[] = [
  { what: 'by somebody else', bundle: { name: 'email:eve@example.com' }, why: /wants jane@example\.com/ },
  { what: 'of another issuer', bundle: { issuer: 'https://evil.example.com' }, why: /oidcIssuer wants/ },
  {
    what: 'by whom a pattern finds only in part',
    bundle: { name: 'email:jane@example.com.evil.org' },
    policy: fulcio({ subjectRegExp: 'jane@example\\.com' }),
    cosign: [
      '--certificate-identity-regexp',
      '^jane@example\\.com$',
      '--certificate-oidc-issuer',
      oidcIssuer,
    ],
    why: /subjectRegExp wants jane@example\\\.com/,
  },
  { what: 'with a certificate that had expired', bundle: { from: 60, to: 30 }, why: /had expired/ },
  {
    what: 'with a certificate that had expired when Rekor 1 recorded it',
    bundle: { from: 60, to: 30, log: 'first', stamps: 0 },
    why: /had expired.* and the log recorded/,
  },
  { what: 'with a certificate that was not valid yet', bundle: { from: -30, to: -60 }, why: /not valid yet/ },
  { what: 'without a timestamp', bundle: { stamps: 0 }, why: /no timestamp authority shows/ },
  { what: 'without an entry', bundle: { log: 'none' }, why: /no proof that a log recorded it/ },
  { what: 'with an altered entry', ...changed('canonicalizedBody'), why: /it was altered/ },
  {
    what: 'with an altered proof',
    alter: replacing(/(?<="hashes":\[")[^"]+/, garble),
    why: /it was altered/,
  },
  {
    what: 'with an altered root in its checkpoint',
    alter: replacing(/(?<="envelope":"[^"\\]+\\n7\\n)[^\\]+/, garble),
    why: /it was altered/,
  },
  {
    what: 'with an altered size in its checkpoint',
    alter: replacing(/(?<="envelope":"[^"\\]+\\n)7/, () => '8'),
    why: /it was altered/,
  },
  {
    what: 'with another place in the log',
    alter: replacing(/(?<="tlogEntries":\[\{"logIndex":")3/, () => '2'),
    why: /two places in the log/,
  },
  {
    what: 'with another root beside the proof, in Rekor 1',
    bundle: { log: 'first' },
    ...changed('rootHash'),
    why: /does not fit its checkpoint/,
  },
  {
    what: 'with an altered promise of Rekor 1',
    bundle: { log: 'first' },
    ...changed('signedEntryTimestamp'),
    why: /it was altered/,
  },
  {
    what: 'in a log of the same name',
    bundle: { by: { second: openTileLog() } },
    why: /one of the logs that are trusted/,
  },
  {
    what: 'in another Rekor 1',
    bundle: { log: 'first', by: { first: openTestLog() } },
    why: /logs that are trusted/,
  },
  {
    what: 'with an entry of another signature',
    alter: bundle => {
      const [other = ''] =
        /(?<="tlogEntries":)\[.*?\}\](?=,"timestamp)/.exec(
          makeBundle(sigstore, parseDigest(`sha256:${'1'.repeat(64)}`)),
        ) ?? [];
      return replacing(/(?<="tlogEntries":)\[.*?\}\](?=,"timestamp)/, () => other)(bundle);
    },
    why: /its log entry is of something else/,
  },
  {
    what: 'with a timestamp of another authority',
    bundle: { by: { timestamps: stranger.timestamps } },
    why: /by another authority/,
  },
  {
    what: 'with a timestamp of another signature',
    bundle: {
      by: {
        timestamps: {
          ...sigstore.timestamps,
          stamp: (signature, time) =>
            sigstore.timestamps.stamp(Buffer.concat([signature, Buffer.of(0)]), time),
        },
      },
    },
    why: /of another signature/,
  },
  {
    what: 'with a timestamp by a certificate for other things too',
    sigstore: {
      ...sigstore,
      timestamps: openTestTimestamps([keyUsage(0), purposes([oids.timeStamping, oids.codeSigning], true)]),
    },
    why: /not for timestamps alone/,
  },
  {
    what: 'with a timestamp by a certificate that had expired',
    sigstore: { ...sigstore, timestamps: openTestTimestamps(undefined, expired()) },
    why: /certificate has expired/,
  },
  { what: 'of another digest', of: parseDigest(`sha256:${'2'.repeat(64)}`), why: /it signs another digest/ },
  { what: 'that was altered', ...changed('sig'), why: /it was altered/ },
  {
    what: 'with a certificate that no log recorded',
    bundle: { recorded: false },
    why: /no log of certificates/,
  },
  {
    what: 'with a certificate that another log recorded',
    bundle: { by: { certificateLog: makePair() } },
    why: /no log of certificates/,
  },
  {
    what: 'with a certificate of another CA',
    bundle: { by: { certificateAuthorities: stranger.certificateAuthorities } },
    why: /no CA of default\[0\]\.trustedRootPath \(.*root\.json\) vouches for it/,
  },
  {
    what: 'with a certificate that its CA may not issue',
    sigstore: openSigstore([nameConstraints({ excluded: ['email:example.com'] }, false)]),
    why: /excluded subtree/,
  },
  {
    what: 'with a certificate that has an unknown critical extension',
    bundle: { extensions: [extension(oids.unknown, text('x'), true)] },
    why: /critical extension 1\.3\.6\.1\.4\.1\.57264\.99\.1, which is not known/,
  },
  {
    what: 'with a certificate that names its issuer twice',
    bundle: { extensions: [extension(oids.fulcioIssuer, text(oidcIssuer))] },
    why: /57264\.1\.8 twice/,
  },
  { what: 'by another key', ...byKey(), bundle: { pair: makePair(), stamps: 0 }, why: /another key/ },
  { what: 'by a key in place of a certificate', bundle: { pair, stamps: 1 }, why: /it has no certificate/ },
];

function expired(): { readonly notBefore: Date; readonly notAfter: Date } {
  return { notBefore: new Date(Date.now() - 7_200_000), notAfter: new Date(Date.now() - 3_600_000) };
}
