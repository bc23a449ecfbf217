import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import {
  assertAccepted,
  assertRefused,
  byKey,
  digest,
  enough,
  name,
  openPolicies,
  reference,
  signer,
  sigTag,
  stranger,
  toBase64,
} from '../../../test/support/signing/policies.ts';
import { claimOf, openTestSource, signBundle, signSimple } from '../../../test/support/signing/signing.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import { ArtifactError } from '../../util/error.ts';

const signal = new AbortController().signal;
const policies = openPolicies();
after(() => policies[Symbol.asyncDispose]());

test('insecureAcceptAnything and reject read no signature', async () => {
  const source = openTestSource();
  assertAccepted(
    await policies.verdict({ type: 'insecureAcceptAnything' }, source),
    /default of .* accepts anything/,
  );
  assertRefused(await policies.verdict({ type: 'reject' }, source), /by default\[0\] of .*: it rejects all/);
  assert.deepEqual(source.asked, []);
});

test('a missing signature has an error of its own', async () => {
  assertRefused(
    await policies.verdict(byKey, openTestSource()),
    /by default\[0\] of .*: it is not signed: there is no tag sha256-1+\.sig, and no sigstore bundle refers to it; sign it with cosign/,
  );
});

describe('several requirements', () => {
  const second = { ...byKey, keyData: toBase64(stranger.pem) };

  test('must all be met, each by a signature of its own', async () => {
    const { trust } = await policies.trustBy([{ type: 'insecureAcceptAnything' }, byKey, second]);
    const source = openTestSource();
    source.putSimple(digest, [signSimple(claimOf(name, digest), signer)]);
    assertRefused(await trust.verify(reference, digest, source, signal), /by default\[2\] of/);
    source.putSimple(digest, [
      signSimple(claimOf(name, digest), signer),
      signSimple(claimOf(name, digest), stranger),
    ]);
    assertAccepted(
      await trust.verify(reference, digest, source, signal),
      /made by default\[1\]\.keyData; .* made by default\[2\]\.keyData/,
    );
  });

  test('are refused if one rejects, or is unknown to this driver', async () => {
    for (const more of [{ type: 'reject' }, { type: 'signedBy', keyType: 'GPGKeys', keyPath: '/k' }]) {
      const { trust } = await policies.trustBy([byKey, more]);
      const source = openTestSource();
      source.putSimple(digest, [signSimple(claimOf(name, digest), signer)]);
      assertRefused(await trust.verify(reference, digest, source, signal), /by default\[1\] of/);
      assert.deepEqual(source.asked, []);
    }
  });
});

describe('limits', () => {
  test('at most 64 signatures are verified', async () => {
    const wrong = signSimple(claimOf(name, digest), stranger);
    const right = signSimple(claimOf(name, digest), signer);
    const source = openTestSource();
    source.putSimple(digest, [...Array.from({ length: 64 }, () => wrong), right]);
    assertRefused(
      await policies.verdict(byKey, source),
      /no key that is trusted verifies it.*; only 64 signatures were looked at$/,
    );
    source.putSimple(digest, [...Array.from({ length: 63 }, () => wrong), right]);
    assertAccepted(await policies.verdict(byKey, source), /keyData$/);
  });

  test('the limit applies to bundles too', async () => {
    const source = openTestSource();
    for (let count = 0; count < 64; count += 1) source.putBundle(digest, signBundle(digest, stranger));
    source.putBundle(digest, signBundle(digest, signer));
    assertRefused(await policies.verdict(byKey, source, enough), /only 64 signatures were looked at$/);
    assert.equal(source.asked.filter(call => call === 'manifest').length, 64);
  });

  test('at most three reasons are reported', async () => {
    const source = openTestSource();
    source.putSimple(
      digest,
      Array.from({ length: 5 }, (_, index) => signSimple(claimOf(`quay.io/other/${index}`, digest), signer)),
    );
    assertRefused(await policies.verdict(byKey, source), /other\/0.*other\/1.*other\/2.*; and 2 more$/);
  });

  test('a payload of more than 256 KiB is not fetched', async () => {
    const source = openTestSource();
    source.putSimple(digest, [{ payload: claimOf(name, digest).padEnd(256 * 1024 + 1), annotations: {} }]);
    assertRefused(await policies.verdict(byKey, source), /it has 262145 bytes; 256 KiB are read/);
    assert.deepEqual(source.asked, [`tag ${sigTag}`, 'referrers']);
  });
});

test('a signature whose bytes the registry lacks does not count, and others do', async () => {
  const source = openTestSource();
  source.putSimple(digest, [
    signSimple(claimOf('gone', digest), signer),
    signSimple(claimOf(name, digest), signer),
  ]);
  let calls = 0;
  const partly = {
    ...source,
    blob: (descriptor: Descriptor) => {
      calls += 1;
      if (calls === 1) throw new ArtifactError('not-found', 'no such blob');
      return source.blob(descriptor, signal);
    },
  };
  assertAccepted(await policies.verdict(byKey, partly), /keyData$/);
});

describe('an outage is not a verdict', () => {
  for (const fails of ['tag', 'blob', 'referrers', 'manifest'] as const) {
    test(`an error of ${fails} is thrown if no other signature is enough`, async () => {
      const outage = new Error('down');
      const source = openTestSource();
      source.putBundle(digest, signBundle(digest, stranger));
      source.putSimple(digest, [signSimple(claimOf(name, digest), stranger)]);
      const broken = { ...source, [fails]: () => Promise.reject(outage) };
      const { trust } = await policies.trustBy([byKey], enough);
      await assert.rejects(trust.verify(reference, digest, broken, signal), outage);
      source.putBundle(digest, signBundle(digest, signer));
      assertAccepted(await trust.verify(reference, digest, source, signal), /the bundle/);
    });
  }
});
