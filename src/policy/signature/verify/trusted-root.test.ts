import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { rewrite } from '../../../../test/support/os/rewrite.ts';
import {
  assertAccepted,
  assertRefused,
  digest,
  enough,
  openPolicies,
  reference,
  toBase64,
} from '../../../../test/support/signing/policies.ts';
import { openTestSource, type TestSource } from '../../../../test/support/signing/signing.ts';
import {
  identity,
  makeBundle,
  oidcIssuer,
  openSigstore,
  trustedRootOf,
} from '../../../../test/support/signing/sigstore.ts';
import { makePair } from '../../../../test/support/signing/x509.ts';

const signal = new AbortController().signal;
const policies = openPolicies();
after(() => policies[Symbol.asyncDispose]());
const sigstore = openSigstore();
const stranger = openSigstore();
const trustedRootPath = join(policies.path, 'root.json');
const requirement = {
  type: 'sigstoreSigned',
  trustedRootPath,
  fulcio: { oidcIssuer, subjectEmail: identity },
};

function bundled(...options: Parameters<typeof makeBundle>[2][]): TestSource {
  const source = openTestSource();
  for (const one of options) source.putBundle(digest, makeBundle(sigstore, digest, one));
  return source;
}

describe('a trusted root', () => {
  before(() => writeFile(trustedRootPath, trustedRootOf(sigstore)));

  test('has the CAs, logs and timestamp authorities of a keyless signature', async () => {
    assertAccepted(
      await policies.verdict(requirement, bundled({}), enough),
      /made by the certificate of "email:jane@example\.com", by default\[0\]\.fulcio$/,
    );
  });

  test('has the logs of a signature by a key', async () => {
    const pair = makePair();
    const keyData = toBase64(pair.publicKey.export({ type: 'spki', format: 'pem' }));
    const byKey = { type: 'sigstoreSigned', keyData, trustedRootPath };
    assertAccepted(await policies.verdict(byKey, bundled({ pair, stamps: 0 }), enough), /keyData$/);
    assertRefused(
      await policies.verdict(byKey, bundled({ pair, log: 'none' }), enough),
      /no proof that a log recorded it, which default\[0\] wants by its rekorPublicKey or trusted root/,
    );
  });

  test('without logs requires a timestamp, for a key too', async () => {
    await writeFile(trustedRootPath, trustedRootOf(sigstore, ['tlogs']));
    const pair = makePair();
    const keyData = toBase64(pair.publicKey.export({ type: 'spki', format: 'pem' }));
    const byKey = { type: 'sigstoreSigned', keyData, trustedRootPath };
    assertAccepted(await policies.verdict(byKey, bundled({ pair, log: 'none' }), enough), /keyData$/);
    assertRefused(
      await policies.verdict(byKey, bundled({ pair, log: 'none', stamps: 0 }), enough),
      /no timestamp authority shows when it was signed/,
    );
    await writeFile(trustedRootPath, trustedRootOf(sigstore));
  });

  test('that changes in place, with the same size and times, is read again', async () => {
    const { trust } = await policies.trustBy([requirement], enough);
    const source = bundled({});
    assertAccepted(await trust.verify(reference, digest, source, signal), /made by/);
    const [own, other] = [trustedRootOf(sigstore), trustedRootOf(stranger)];
    const length = Math.max(own.length, other.length);
    await writeFile(trustedRootPath, own.padEnd(length));
    for (const [text, kind] of [
      [own, 'accepted'],
      [other, 'refused'],
      [own, 'accepted'],
    ] as const) {
      await rewrite(trustedRootPath, text.padEnd(length));
      assert.equal((await trust.verify(reference, digest, source, signal)).kind, kind);
    }
    await rm(trustedRootPath);
    assertRefused(
      await trust.verify(reference, digest, source, signal),
      /default\[0\]\.trustedRootPath \(.*root\.json\): it does not exist/,
    );
    await writeFile(trustedRootPath, own);
    assertAccepted(await trust.verify(reference, digest, source, signal), /made by/);
  });

  test('is refused in a strict policy', async () => {
    assertRefused(
      await policies.verdict(requirement, bundled({}), { ...enough, strict: true }),
      /default\[0\]\.trustedRootPath is a field that only this driver knows, which --strict-policy refuses/,
    );
  });
});

describe('an unusable trusted root', () => {
  const whole = JSON.parse(trustedRootOf(sigstore)) as Record<
    string,
    { certChain: { certificates: unknown[] } }[]
  >;
  const [authority] = whole['certificateAuthorities'] ?? [];
  const [intermediate, root] = authority?.certChain.certificates ?? [];
  const withChain = (...certificates: unknown[]) => [{ ...authority, certChain: { certificates } }];
  const cases: readonly [what: string, contents: string, why: RegExp][] = [
    ['that is no JSON', 'x', /is no trusted root: it is not JSON/],
    [
      'of another type',
      '{}',
      /mediaType must be application\/vnd\.dev\.sigstore\.trustedroot\+json;version=0\.1/,
    ],
    [
      'without logs and timestamp authorities',
      trustedRootOf(sigstore, ['tlogs', 'timestampAuthorities']),
      /has neither tlogs nor timestampAuthorities/,
    ],
    [
      'without CAs',
      JSON.stringify({ ...whole, certificateAuthorities: [] }),
      /has no certificateAuthorities/,
    ],
    [
      'whose chain does not reach its root',
      JSON.stringify({ ...whole, certificateAuthorities: withChain(intermediate) }),
      /the chain of "CN=intermediate" does not end with a CA that signs itself; append its issuer/,
    ],
    [
      'whose chain is empty',
      JSON.stringify({ ...whole, certificateAuthorities: withChain() }),
      /an authority has no certificate/,
    ],
    [
      'whose timestamp authority is a root alone',
      JSON.stringify({ ...whole, timestampAuthorities: withChain(root) }),
      /a timestamp authority has no certificate beside its root/,
    ],
    [
      'whose certificate is none',
      JSON.stringify({ ...whole, certificateAuthorities: withChain({ rawBytes: 'AAAA' }) }),
      /is no trusted root: /,
    ],
    [
      'whose log has no key',
      JSON.stringify({ ...whole, tlogs: [{ hashAlgorithm: 'SHA2_256' }] }),
      /is no trusted/,
    ],
  ];
  for (const [what, contents, why] of cases) {
    test(what, async () => {
      await writeFile(trustedRootPath, contents);
      const { trust } = await policies.trustBy([requirement], enough);
      assert.match(trust.problems().join(), why);
      assertRefused(await trust.verify(reference, digest, bundled({}), signal), why);
    });
  }
});

describe('a log of version 2 with only its key', () => {
  const pair = makePair();
  const pem = (key: typeof pair): string => toBase64(key.publicKey.export({ type: 'spki', format: 'pem' }));
  const rekorPublicKeyData = toBase64(sigstore.second.pem);
  const byKey = { type: 'sigstoreSigned', keyData: pem(pair), rekorPublicKeyData };

  test('is enough for a signature by a key', async () => {
    assertAccepted(await policies.verdict(byKey, bundled({ pair }), enough), /keyData$/);
    const other = { ...byKey, rekorPublicKeyData: toBase64(stranger.second.pem) };
    assertRefused(
      await policies.verdict(other, bundled({ pair }), enough),
      /one of the logs that are trusted/,
    );
  });

  test('is not enough for a certificate, because it proves no time', async () => {
    const ca = sigstore.certificateAuthorities.map(certificate => certificate.pem).join('');
    const fulcio = { caData: toBase64(ca), oidcIssuer, subjectEmail: identity };
    const keyless = { type: 'sigstoreSigned', fulcio, rekorPublicKeyData };
    assertRefused(
      await policies.verdict(keyless, bundled({}), enough),
      /no log that default\[0\] names promises when it recorded it, and no timestamp authority shows/,
    );
    const first = { ...keyless, rekorPublicKeyData: toBase64(sigstore.first.pem) };
    assertAccepted(
      await policies.verdict(first, bundled({ log: 'first' }), enough),
      /made by the certificate/,
    );
  });

  test('is refused in a strict policy: containers accepts ECDSA keys alone', async () => {
    assertRefused(
      await policies.verdict(byKey, bundled({ pair }), { ...enough, strict: true }),
      /rekorPublicKeyData is no ECDSA key, which --strict-policy wants of a log/,
    );
  });
});
