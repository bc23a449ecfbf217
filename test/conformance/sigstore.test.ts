import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openSignaturePolicy } from '../../src/policy/signature/policy.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { needs } from '../support/project/tools.ts';
import { startReferrersRegistry } from '../support/registry/referrers-registry.ts';
import { pushBundled } from '../support/signing/bundled-artifact.ts';
import { cosignVerify } from '../support/signing/cosign.ts';
import { openFetchedSource } from '../support/signing/fetched-signatures.ts';
import { identity, makeBundle, oidcIssuer, trustedRootOf } from '../support/signing/sigstore.ts';
import { accepted } from '../support/signing/sigstore-accepted.ts';
import { type Case, identityArguments, sigstore } from '../support/signing/sigstore-case.ts';
import { refused } from '../support/signing/sigstore-refused.ts';

describe('a bundle in the format of stock cosign', needs('cosign'), () => {
  const stack = new AsyncDisposableStack();
  after(() => stack.disposeAsync());
  let host: string;
  let work: string;
  let pushed = 0;

  before(async () => {
    work = stack.use(await temporaryDirectory()).path;
    host = stack.use(await startReferrersRegistry()).host;
  });

  /** What the driver says, and cosign: undefined if it verifies. */
  async function verdictsOf(
    one: Case,
  ): Promise<{ readonly ours: string; readonly cosign: string | undefined }> {
    pushed += 1;
    const services = one.sigstore ?? sigstore;
    const repository = `models/m${pushed}`;
    const digest = await pushBundled(host, repository, `model ${pushed}`, digest => {
      const bundle = makeBundle(services, one.of ?? digest, one.bundle);
      return one.alter === undefined ? bundle : one.alter(bundle);
    });
    const trustedRootPath = join(work, 'root.json');
    await writeFile(trustedRootPath, trustedRootOf(services, one.leaveOut));
    const requirement = {
      type: 'sigstoreSigned',
      trustedRootPath,
      fulcio: { oidcIssuer, subjectEmail: identity },
      signedIdentity: { type: 'matchDigest' },
      ...one.policy,
    };
    const policyFile = join(work, 'policy.json');
    await writeFile(policyFile, JSON.stringify({ default: [requirement] }));
    const keyData = (requirement as { keyData?: string }).keyData;
    if (keyData !== undefined) await writeFile(join(work, 'key.pub'), Buffer.from(keyData, 'base64'));
    const trust = openSignaturePolicy(policyFile);
    assert.deepEqual(trust.problems(), []);
    const reference = { registry: host, path: repository, tag: '1' };
    const source = openFetchedSource(host, repository);
    const verdict = await trust.verify(reference, digest, source, new AbortController().signal);
    const args = ['--trusted-root', trustedRootPath, ...(one.cosign ?? identityArguments)];
    return {
      ours: verdict.kind === 'accepted' ? 'accepted' : verdict.why,
      cosign: await cosignVerify(`${host}/${repository}@${digest}`, args, work),
    };
  }

  for (const one of accepted) {
    test(`${one.what} is accepted, as by cosign verify`, async () => {
      assert.deepEqual(await verdictsOf(one), { ours: 'accepted', cosign: undefined });
    });
  }
  for (const { why, ...one } of refused) {
    test(`${one.what} is refused, as by cosign verify`, async () => {
      const { ours, cosign } = await verdictsOf(one);
      assert.match(ours, why);
      assert.notEqual(cosign, undefined);
    });
  }
});
