import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Digest, toDigest } from '../../src/oci/digest.ts';
import type { AccessRecord } from '../../src/ports/records.ts';
import { openAccessCache } from '../../src/volume/access/access-cache.ts';

test('invented repositories are removed from records and memory once nothing of them is cached', async () => {
  let time = 0;
  const disk = new Map<string, AccessRecord>();
  const memory = await openAccessCache(
    {
      put: async record => void disk.set(record.repository, record),
      remove: async repository => void disk.delete(repository),
      list: async () => [...disk.values()],
    },
    'salt',
    () => time,
  );
  const digest = (nth: number): Digest => toDigest('sha256', String(nth).padStart(64, '0'));
  for (let nth = 0; nth < 50; nth++) {
    const repository = { registry: 'evil.example', path: `made-up-${nth}` };
    await memory.admit(repository, { kind: 'anyone' }, {});
    const served = [digest(nth), digest(1000 + nth)].map(each => ({ digest: each, servedBy: {} }));
    memory.note(repository, served);
    await memory.save(repository);
  }
  time += 601_000;
  await memory.sweep(async held => held === digest(7));
  assert.deepEqual([...disk.keys()], ['evil.example/made-up-7']);
  const kept = { registry: 'evil.example', path: 'made-up-7' };
  assert.ok(memory.admits(kept, {}) && memory.knows(kept, digest(7)));
  assert.equal(memory.knows(kept, digest(1007)), false);
  const gone = { registry: 'evil.example', path: 'made-up-8' };
  assert.equal(memory.admits(gone, {}) || memory.knows(gone, digest(8)), false);
});
