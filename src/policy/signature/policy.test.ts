import assert from 'node:assert/strict';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { rewrite } from '../../../test/support/os/rewrite.ts';
import {
  assertAccepted,
  assertRefused,
  byKey,
  digest,
  name,
  openPolicies,
  other,
  reference,
  signedBy,
  signer,
  stranger,
  toBase64,
} from '../../../test/support/signing/policies.ts';
import { makeSigner } from '../../../test/support/signing/signer.ts';
import { claimOf, openTestSource, signSimple } from '../../../test/support/signing/signing.ts';
import { openSignaturePolicy } from './policy.ts';

const signal = new AbortController().signal;
const policies = openPolicies();
after(() => policies[Symbol.asyncDispose]());

describe('verdicts', () => {
  test('are cached for their reference and digest if accepted, and not if refused', async () => {
    const { trust } = await policies.trustBy([byKey]);
    const source = openTestSource();
    assertRefused(await trust.verify(reference, digest, source, signal), /it is not signed/);
    source.putSimple(digest, [signSimple(claimOf(name, digest), signer)]);
    const first = await trust.verify(reference, digest, source, signal);
    assertAccepted(first, /keyData$/);
    source.asked.length = 0;
    assert.equal(await trust.verify(reference, digest, source, signal), first);
    assert.deepEqual(source.asked, []);
    assert.equal((await trust.verify(reference, other, source, signal)).kind, 'refused');
    const elsewhere = { ...reference, path: 'acme/elsewhere' };
    assert.equal((await trust.verify(elsewhere, digest, source, signal)).kind, 'refused');
  });

  test('a changed policy applies at once, whether written in place or renamed over it', async () => {
    const { trust, policyFile } = await policies.trustBy([byKey]);
    const source = openTestSource();
    source.putSimple(digest, [signSimple(claimOf(name, digest), signer)]);
    assertAccepted(await trust.verify(reference, digest, source, signal), /keyData$/);
    const length = JSON.stringify({ default: [byKey] }).length;
    await rewrite(policyFile, JSON.stringify({ default: [{ type: 'reject' }] }).padEnd(length));
    assertRefused(await trust.verify(reference, digest, source, signal), /rejects all/);
    await writeFile(`${policyFile}.new`, JSON.stringify({ default: [byKey] }));
    await rename(`${policyFile}.new`, policyFile);
    assertAccepted(await trust.verify(reference, digest, source, signal), /keyData$/);
  });

  test('a policy that is rewritten with the same content keeps its verdicts', async () => {
    const { trust, policyFile } = await policies.trustBy([byKey]);
    const source = openTestSource();
    source.putSimple(digest, [signSimple(claimOf(name, digest), signer)]);
    const first = await trust.verify(reference, digest, source, signal);
    await writeFile(policyFile, JSON.stringify({ default: [byKey] }));
    assert.equal(await trust.verify(reference, digest, source, signal), first);
  });

  test('a changed key file applies at once', async () => {
    const keyPath = join(policies.path, 'cosign.pub');
    await writeFile(keyPath, signer.pem);
    const { trust } = await policies.trustBy([{ ...byKey, keyData: undefined, keyPath }]);
    const source = openTestSource();
    source.putSimple(digest, [signSimple(claimOf(name, digest), signer)]);
    assertAccepted(await trust.verify(reference, digest, source, signal), /keyPath \(.*cosign\.pub\)$/);
    await writeFile(keyPath, stranger.pem);
    assertRefused(await trust.verify(reference, digest, source, signal), /no key that is trusted/);
    await rm(keyPath);
    assertRefused(
      await trust.verify(reference, digest, source, signal),
      /default\[0\]\.keyPath \(.*cosign\.pub\): it does not exist; correct the path, or mount it into the driver's container/,
    );
    await writeFile(keyPath, signer.pem);
    assertAccepted(await trust.verify(reference, digest, source, signal), /keyPath/);
  });
});

describe('an unusable policy', () => {
  test('is named once by the error of a file that cannot be read', () => {
    const { problems } = openSignaturePolicy(policies.path);
    assert.deepEqual(problems(), [
      `the signature policy ${policies.path}: it cannot be read (EISDIR); until the file is corrected, every mount is refused`,
    ]);
  });

  test('refuses everything while it is broken, even what was accepted before, and reports it at once', async () => {
    const { trust, policyFile } = await policies.trustBy([byKey]);
    const source = openTestSource();
    source.putSimple(digest, [signSimple(claimOf(name, digest), signer)]);
    await trust.verify(reference, digest, source, signal);
    assert.deepEqual(trust.problems(), []);
    await writeFile(policyFile, '{"default": [}');
    assert.match(trust.problems().join(), /it is not JSON/, 'before anything is judged');
    assertRefused(
      await trust.verify(reference, digest, source, signal),
      /the signature policy of this node is broken \(.*it is not JSON.*\), and all mounts are refused/,
    );
    assert.match(
      trust.problems().join(),
      /^the signature policy \S+\/policy-\d+\.json: it is not JSON.*every mount is refused$/,
    );
    await rm(policyFile);
    assertRefused(await trust.verify(reference, digest, source, signal), /it does not exist/);
    await writeFile(policyFile, JSON.stringify({ default: [byKey] }));
    assertAccepted(await trust.verify(reference, digest, source, signal), /keyData/);
    assert.deepEqual(trust.problems(), []);
  });

  test('is reported once', async () => {
    const { policyFile } = await policies.trustBy([byKey]);
    const told: string[] = [];
    const trust = openSignaturePolicy(policyFile, { note: text => told.push(text) });
    assert.deepEqual(told, []);
    await writeFile(policyFile, '[]');
    assert.equal(trust.problems().length, 1);
    assertRefused(
      await trust.verify(reference, digest, openTestSource(), signal),
      /policy of this node is broken/,
    );
    assert.deepEqual(told, trust.problems());
    await writeFile(policyFile, JSON.stringify({ default: [byKey] }));
    assert.deepEqual(trust.problems(), []);
    assert.equal(told.at(-1), `the signature policy ${policyFile} has changed and was read again`);
    assert.equal(told.length, 2);
  });

  test('in one scope refuses in that scope alone', async () => {
    const { policyFile, trust: nothing } = await policies.trustBy([{ type: 'reject' }]);
    assert.deepEqual(nothing.problems(), []);
    await writeFile(
      policyFile,
      JSON.stringify({
        default: [{ type: 'insecureAcceptAnything' }],
        transports: {
          docker: {
            'quay.io/acme': [{ type: 'signedBy', keyType: 'GPGKeys', keyPath: '/etc/pki/key' }],
            busybox: [{ type: 'reject' }],
          },
        },
      }),
    );
    const trust = openSignaturePolicy(policyFile);
    assert.deepEqual(trust.problems(), [
      `${policyFile}: transports.docker["quay.io/acme"][0].type: this driver does not verify "signedBy"; sign with cosign and write "sigstoreSigned"; what is in its scope is refused`,
      `${policyFile}: transports.docker.busybox: no reference is in this scope; write docker.io/library/busybox in full, or *.example.com`,
    ]);
    assertRefused(
      await trust.verify(reference, digest, openTestSource(), signal),
      /by transports\.docker\["quay\.io\/acme"\]\[0\] of .*does not verify "signedBy"/,
    );
    const elsewhere = { ...reference, registry: 'ghcr.io' };
    assertAccepted(await trust.verify(elsewhere, digest, openTestSource(), signal), /accepts anything/);
  });

  const private_ = '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n';
  const unusable: readonly [what: string, fields: object, why: RegExp][] = [
    ['a private key', { keyData: toBase64(private_) }, /keyData must be one public key in PEM/],
    [
      'a key that is none',
      { keyData: toBase64(signer.pem.replace(/M[\w+/]{20}/, 'M')) },
      /keyData is no public key/,
    ],
    [
      'one of several keys',
      { keyDatas: [toBase64(signer.pem), toBase64('x')] },
      /keyDatas\[1\] must be one public/,
    ],
    ['a key file that is not there', { keyPath: '/absent' }, /keyPath \(\/absent\): it does not exist/],
    [
      'a key of a log that no log has',
      { keyData: toBase64(signer.pem), rekorPublicKeyData: toBase64(makeSigner('rsa').pem) },
      /rekorPublicKeyData is no ECDSA or Ed25519 key/,
    ],
  ];
  for (const [what, fields, why] of unusable) {
    test(`for ${what} refuses, and names its field`, async () => {
      const { trust } = await policies.trustBy([signedBy(fields)]);
      assert.match(trust.problems().join(), why);
      assertRefused(await trust.verify(reference, digest, openTestSource(), signal), why);
    });
  }
});
