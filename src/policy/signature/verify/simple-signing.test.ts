import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import {
  assertAccepted,
  assertRefused,
  byKey,
  digest,
  name,
  openPolicies,
  other,
  signedBy,
  signer,
  sigTag,
  stranger,
  toBase64,
} from '../../../../test/support/signing/policies.ts';
import { makeSigner } from '../../../../test/support/signing/signer.ts';
import { claimOf, openTestSource, signSimple } from '../../../../test/support/signing/signing.ts';

const policies = openPolicies();
after(() => policies[Symbol.asyncDispose]());

describe('a signature in the .sig tag', () => {
  for (const kind of ['ec', 'rsa', 'ed25519'] as const) {
    test(`by an ${kind} key is accepted`, async () => {
      const signer = makeSigner(kind);
      const source = openTestSource();
      source.putSimple(digest, [signSimple(claimOf(name, digest), signer)]);
      const requirement = { ...byKey, keyData: toBase64(signer.pem) };
      assertAccepted(
        await policies.verdict(requirement, source),
        new RegExp(`${sigTag}, made by default\\[0\\]\\.keyData`),
      );
      assert.deepEqual(source.asked, [`tag ${sigTag}`, 'blob']);
    });
  }

  test('is found among others, and by any of the keys', async () => {
    const source = openTestSource();
    source.putSimple(digest, [
      signSimple(claimOf(name, digest), stranger),
      { payload: '{', annotations: { 'dev.cosignproject.cosign/signature': '!' } },
      signSimple(claimOf(name, digest), signer),
    ]);
    const keyDatas = [toBase64(makeSigner().pem), toBase64(signer.pem)];
    const requirement = { ...byKey, keyData: undefined, keyDatas };
    assertAccepted(await policies.verdict(requirement, source), /keyDatas\[1\]$/);
  });

  test('is accepted by its exact name if the rule requires that', async () => {
    const source = openTestSource();
    source.putSimple(digest, [signSimple(claimOf(`${name}:1`, digest), signer)]);
    assertAccepted(await policies.verdict(signedBy({ keyData: toBase64(signer.pem) }), source), /keyData$/);
  });

  const refused: readonly [what: string, layer: () => ReturnType<typeof signSimple>, why: RegExp][] = [
    [
      'of another key',
      () => signSimple(claimOf(name, digest), stranger),
      /no key that is trusted verifies it \(default\[0\]\.keyData\): another key made it, or it was altered/,
    ],
    [
      'with an altered payload',
      () => ({
        ...signSimple(claimOf(name, other), signer),
        payload: claimOf(name, digest),
      }),
      /no key that is trusted verifies it/,
    ],
    [
      'of another digest',
      () => signSimple(claimOf(name, other), signer),
      /it signs another digest, "sha256:2+"; sign sha256:1+ itself/,
    ],
    [
      'for another repository',
      () => signSimple(claimOf('quay.io/acme/other', digest), signer),
      /it was made for another repository, quay\.io\/acme\/other, and matchRepository wants quay\.io\/acme\/model/,
    ],
    [
      'without its annotation',
      () => ({ payload: claimOf(name, digest), annotations: {} }),
      /it has no annotation dev\.cosignproject\.cosign\/signature/,
    ],
    [
      'with a chain of a thousand certificates',
      () => {
        const { payload, annotations } = signSimple(claimOf(name, digest), signer);
        return { payload, annotations: { ...annotations, 'dev.sigstore.cosign/chain': 'x'.repeat(65_537) } };
      },
      /dev\.sigstore\.cosign\/chain has more than 64 KiB/,
    ],
    [
      'of something that is no claim',
      () => signSimple('{"critical": {}}', signer),
      /what it signs is not cosign's claim/,
    ],
    [
      'of a claim with a critical field more',
      () => signSimple(claimOf(name, digest).replace('"type"', '"expires": "x", "type"'), signer),
      /the payload\.critical\.expires is an unknown field/,
    ],
    [
      'of a claim with a key twice',
      () => signSimple(claimOf(name, digest).replace('{"critical"', '{"optional": null, "critical"'), signer),
      /a key for the second time/,
    ],
    [
      'of a claim of another type',
      () => signSimple(claimOf(name, digest).replace('cosign container', 'atomic container'), signer),
      /not cosign's claim/,
    ],
  ];
  for (const [what, layer, why] of refused) {
    test(`${what} is refused`, async () => {
      const source = openTestSource();
      source.putSimple(digest, [layer()]);
      const answer = await policies.verdict(byKey, source);
      assertRefused(answer, why);
      assert.match(
        answer.kind === 'refused' ? answer.why : '',
        new RegExp(`the signature in tag ${sigTag}: `),
      );
    });
  }

  test('of a repository without a tag is refused by the default rule, and the error names matchRepository', async () => {
    const source = openTestSource();
    source.putSimple(digest, [signSimple(claimOf(name, digest), signer)]);
    assertRefused(
      await policies.verdict(signedBy({ keyData: toBase64(signer.pem) }), source),
      /without a tag, as cosign does by default, .*set signedIdentity matchRepository .* at default\[0\]/,
    );
  });

  test('that is not a manifest, or is an index, is refused', async () => {
    for (const bytes of ['<html>', '{"schemaVersion": 2, "manifests": []}']) {
      const source = openTestSource();
      source.putTag(sigTag, '', Buffer.from(bytes));
      assertRefused(await policies.verdict(byKey, source), /the signature in tag .*(not JSON|an index)/);
    }
  });
});
