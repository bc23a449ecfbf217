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
  other,
  reference,
  signer,
  sigTag,
  stranger,
} from '../../../../test/support/signing/policies.ts';
import { claimOf, openTestSource, signBundle, signSimple } from '../../../../test/support/signing/signing.ts';
import { parseDigest } from '../../../oci/digest.ts';
import { ArtifactError } from '../../../util/error.ts';

const signal = new AbortController().signal;
const policies = openPolicies();
after(() => policies[Symbol.asyncDispose]());

describe('a sigstore bundle that refers to the digest', () => {
  for (const hasReferrers of [true, false]) {
    test(`is accepted if the digest is enough, found by ${hasReferrers ? 'the API' : 'its tag'}`, async () => {
      const source = openTestSource();
      source.hasReferrers = hasReferrers;
      source.putBundle(digest, signBundle(digest, stranger));
      source.putBundle(digest, signBundle(digest, signer));
      assertAccepted(
        await policies.verdict(byKey, source, enough),
        /the bundle sha256:\w+, made by default\[0\]\.keyData/,
      );
    });
  }

  test('is refused, unread, if a signedIdentity must be met, which is the default', async () => {
    const source = openTestSource();
    source.putBundle(digest, signBundle(digest, signer));
    assertRefused(
      await policies.verdict(byKey, source),
      /signs a digest and no name.*set signedIdentity matchDigest/,
    );
    assert.deepEqual(source.asked, [`tag ${sigTag}`, 'referrers']);
  });

  test('is accepted under matchDigest, for that requirement alone', async () => {
    const source = openTestSource();
    source.putBundle(digest, signBundle(digest, signer));
    const byDigest = { ...byKey, signedIdentity: { type: 'matchDigest' } };
    assertAccepted(await policies.verdict(byDigest, source), /the bundle sha256:\w+, made by default\[0\]/);
    const { trust } = await policies.trustBy([byDigest, byKey]);
    assertRefused(
      await trust.verify(reference, digest, source, signal),
      /refused by default\[1\] of .*does not meet matchRepository/,
    );
  });

  test('is accepted while the registry of a possible .sig tag is unreachable, and an outage is not a refusal', async () => {
    const source = openTestSource();
    const away = async (): Promise<never> => {
      throw new ArtifactError('unavailable', 'registry away');
    };
    source.putBundle(digest, signBundle(digest, stranger));
    await assert.rejects(policies.verdict(byKey, { ...source, tag: away }, enough), /registry away/);
    source.putBundle(digest, signBundle(digest, signer));
    assertAccepted(await policies.verdict(byKey, { ...source, tag: away }, enough), /the bundle/);
    const byDigest = { ...byKey, signedIdentity: { type: 'matchDigest' } };
    assertAccepted(await policies.verdict(byDigest, source), /the bundle/);
    assert.deepEqual(source.asked.includes(`tag ${sigTag}`), false);
    source.putSimple(digest, [signSimple(claimOf(name, digest), signer)]);
    const withoutBundles = { ...source, referrers: away };
    assertAccepted(await policies.verdict(byDigest, withoutBundles), /the signature in tag/);
  });

  const altered = (change: (bundle: string) => string) => change(signBundle(digest, signer));
  const refused: readonly [what: string, bundle: () => string, why: RegExp][] = [
    [
      'of another key',
      () => signBundle(digest, stranger),
      /it was made by another key than those that are trusted \(default\[0\]\.keyData\)/,
    ],
    [
      'whose statement was altered',
      () =>
        altered(bundle => {
          const [payload] = /(?<="payload":")[^"]+/.exec(signBundle(other, signer)) ?? [''];
          return bundle.replace(/(?<="payload":")[^"]+/, payload);
        }),
      /it says that default\[0\]\.keyData made it, and that key does not verify it: the bundle was altered/,
    ],
    [
      'of another digest',
      () => signBundle(other, signer),
      /it signs another digest, "2+"; sign sha256:1+ itself/,
    ],
    [
      'that is an attestation',
      () => signBundle(digest, signer, { predicateType: 'https://slsa.dev/provenance/v1' }),
      /it is an attestation \("https:\/\/slsa\.dev\/provenance\/v1"\) and no signature/,
    ],
    ['that is no JSON', () => 'x', /it is not JSON/],
    ['that is another object', () => '{}', /the bundle cannot be used/],
    [
      'that signs no statement',
      () =>
        JSON.stringify({
          ...JSON.parse(signBundle(digest, signer)),
          dsseEnvelope: undefined,
          messageSignature: {
            messageDigest: { algorithm: 'SHA2_256', digest: 'AAAA' },
            signature: 'AAAA',
          },
        }),
      /signs no statement/,
    ],
    [
      'of another kind of statement',
      () => altered(bundle => bundle.replace('application/vnd.in-toto+json', 'text/plain')),
      /signs "text\/plain" and not application\/vnd\.in-toto\+json/,
    ],
  ];
  for (const [what, bundle, why] of refused) {
    test(`${what} is refused`, async () => {
      const source = openTestSource();
      source.putBundle(digest, bundle());
      assertRefused(await policies.verdict(byKey, source, enough), why);
    });
  }

  test('is not fetched if its descriptor declares an attestation', async () => {
    const source = openTestSource();
    source.putBundle(digest, signBundle(digest, signer, { predicateType: 'x' }), {
      'dev.sigstore.bundle.predicateType': 'x',
    });
    assertRefused(await policies.verdict(byKey, source, enough), /it is not signed/);
    assert.deepEqual(source.asked, [`tag ${sigTag}`, 'referrers']);
  });

  test('is not requested if the .sig tag is enough', async () => {
    const source = openTestSource();
    source.putBundle(digest, signBundle(digest, signer));
    source.putSimple(digest, [signSimple(claimOf(name, digest), signer)]);
    assertAccepted(await policies.verdict(byKey, source, enough), /the signature in tag/);
    assert.deepEqual(source.asked, [`tag ${sigTag}`, 'blob']);
  });

  test('of a sha512 digest is found under the shortened tag', async () => {
    const long = parseDigest(`sha512:${'3'.repeat(128)}`);
    const source = openTestSource();
    source.hasReferrers = false;
    const { trust } = await policies.trustBy([byKey], enough);
    await trust.verify(reference, long, source, signal);
    assert.deepEqual(source.asked, ['referrers', `tag sha512-${'3'.repeat(64)}`]);
    source.putBundle(long, signBundle(long, signer));
    source.hasReferrers = true;
    assertAccepted(await trust.verify(reference, long, source, signal), /the bundle/);
  });
});
