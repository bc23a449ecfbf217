import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertAccepted, digest, reference } from '../test/support/signing/policies.ts';
import { openTestSource } from '../test/support/signing/signing.ts';
import { openPolicies } from './configuration.ts';

const { signal } = new AbortController();

test('without policies every pod may mount everything, and no signature is read', async () => {
  const settings = {
    accessPolicy: undefined,
    policy: undefined,
    strictPolicy: false,
    bundleIdentity: undefined,
    prefetch: undefined,
  };
  const { accessPolicy, trust, problems, obstacles } = await openPolicies(
    settings,
    undefined,
    undefined,
    assert.fail,
  );
  await accessPolicy.verify(reference, { caller: 'pod' }, signal);
  const source = openTestSource();
  assertAccepted(await trust.verify(reference, digest, source, signal), /no policy file/);
  assert.deepEqual(source.asked, []);
  assert.deepEqual([...problems(), ...obstacles()], []);
});
