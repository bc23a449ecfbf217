import assert from 'node:assert/strict';
import { test } from 'node:test';
import { anonymous } from '../../../test/support/registry/registry-client.ts';
import { toDigest } from '../../oci/digest.ts';
import type { Registry, ServedBy } from '../../ports/registry.ts';
import { openAccessCache } from './access-cache.ts';
import { createAccessCheck } from './access-check.ts';

const { signal } = new AbortController();
const digest = toDigest('sha256', 'a'.repeat(64));
const content = { kind: 'blob', descriptor: { mediaType: 'a/b', digest, size: 1, annotations: {} } } as const;
const open = { registry: 'r.io', path: 'open/model' };
const other = { registry: 'r.io', path: 'other/model' };

for (const [who, servedBy, isPublic] of [
  ['anyone', { isOpen: true }, true],
  ['a credential', { isOpen: false }, false],
] as const)
  test(`content that a registry confirms to ${who} is ${isPublic ? '' : 'not '}public`, async () => {
    const memory = await openAccessCache(
      { put: async () => {}, remove: async () => {}, list: async () => [] },
      'salt',
    );
    const has = async (): Promise<ServedBy> => servedBy;
    const access = createAccessCheck(memory, { has } as unknown as Registry);
    await memory.admit(open, { kind: 'anyone' }, {});
    memory.note(other, [{ digest, servedBy: {} }]);
    assert.deepEqual(await access.confirm(open, [content], anonymous, signal), []);
    assert.deepEqual([access.knows(open, digest), access.isPublic(digest)], [true, isPublic]);
  });
