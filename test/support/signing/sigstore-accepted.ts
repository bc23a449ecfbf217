import { parseDigest } from '../../../src/oci/digest.ts';
import { makeBundle, oidcIssuer } from './sigstore.ts';
import { byKey, type Case, fulcio, identityArguments, pair, stranger } from './sigstore-case.ts';
import { makePair } from './x509.ts';

const workflow = 'https://github.com/acme/model/.github/workflows/release.yml@refs/heads/main';

/** Cases that both accept. */
export const accepted: readonly Case[] = [
  { what: 'with an entry of Rekor 2 and a timestamp, as cosign makes them' },
  { what: 'with an entry of Rekor 1', bundle: { log: 'first', stamps: 0 } },
  { what: 'with an entry of Rekor 1 beside a timestamp', bundle: { log: 'first' } },
  {
    what: 'with a timestamp in place of an entry, where no log is named',
    bundle: { log: 'none' },
    leaveOut: ['tlogs'],
    cosign: [...identityArguments, '--insecure-ignore-tlog', '--use-signed-timestamps'],
  },
  {
    what: 'with a certificate that no log recorded, where no log of certificates is named',
    bundle: { recorded: false },
    leaveOut: ['ctlogs'],
    cosign: [...identityArguments, '--insecure-ignore-sct'],
  },
  {
    what: 'for a workflow',
    bundle: { name: `uri:${workflow}` },
    policy: fulcio({ subject: workflow }),
    cosign: ['--certificate-identity', workflow, '--certificate-oidc-issuer', oidcIssuer],
  },
  {
    what: 'for any workflow of an organisation',
    bundle: { name: `uri:${workflow}` },
    policy: fulcio({ subjectRegExp: 'https://github\\.com/acme/.*' }),
    cosign: [
      '--certificate-identity-regexp',
      '^https://github\\.com/acme/.*$',
      '--certificate-oidc-issuer',
      oidcIssuer,
    ],
  },
  { what: 'with a certificate on P-384', bundle: { key: 'P-384' } },
  { what: 'with a certificate on P-521', bundle: { key: 'P-521' } },
  { what: 'by a key', ...byKey() },
  { what: 'by a key, in Rekor 1', ...byKey(), bundle: { pair, log: 'first', stamps: 0 } },
  {
    what: 'by a key on P-384',
    ...byKey(makePair('P-384')),
    cosign: ['--key', 'key.pub', '--signature-digest-algorithm', 'sha384'],
  },
  { what: 'by a key of RSA', ...byKey(makePair('rsa')) },
  {
    what: 'with a timestamp of a stranger beside',
    alter: bundle => {
      const other = makeBundle(stranger, parseDigest(`sha256:${'0'.repeat(64)}`));
      const [token = ''] = /\{"signedTimestamp":"[^"]+"\}/.exec(other) ?? [];
      return bundle.replace('"rfc3161Timestamps":[', `"rfc3161Timestamps":[${token},`);
    },
  },
];
