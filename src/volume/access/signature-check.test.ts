import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Keyring } from '../../oci/credential.ts';
import { toDigest } from '../../oci/digest.ts';
import type { SignatureRecord } from '../../ports/records.ts';
import type { Registry } from '../../ports/registry.ts';
import { createSignatureCheck } from './signature-check.ts';

test('signatures outlive a collection before their manifest is here, and not the artifact', async () => {
  let time = 0;
  const records = new Map<string, SignatureRecord>();
  const signatures = createSignatureCheck({
    trust: {
      verify: async (_reference, digest, source, signal) =>
        (await source.referrers(digest, 'x/bundle', signal)) === undefined
          ? { kind: 'refused', why: 'no signature' }
          : { kind: 'accepted', by: 'a signature' },
    },
    registry: { referrers: async () => [] } as unknown as Registry,
    signatures: {
      find: async subject => records.get(subject),
      put: async record => void records.set(record.subject, record),
      remove: async subject => void records.delete(subject),
      list: async () => [...records.values()],
    },
    now: () => time,
  });
  const reference = { registry: 'r.io', path: 'model', tag: 'v1' };
  const digest = toDigest('sha256', 'a'.repeat(64));
  await signatures.verify(reference, digest, { id: 'k' } as Keyring, new AbortController().signal);
  await signatures.sweep(async () => false);
  assert.equal((await signatures.evaluate('r.io/model:v1', digest)).kind, 'accepted');
  time += 601_000;
  await signatures.sweep(async () => false);
  assert.equal((await signatures.evaluate('r.io/model:v1', digest)).kind, 'refused');
});
