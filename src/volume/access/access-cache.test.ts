import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toDigest } from '../../oci/digest.ts';
import { formatRepository } from '../../oci/reference.ts';
import type { Accesses, AccessRecord } from '../../ports/records.ts';
import { openAccessCache } from './access-cache.ts';

const digest = toDigest('sha256', 'a'.repeat(64));
const open = { registry: 'r.io', path: 'open/model' };
const other = { registry: 'r.io', path: 'other/model' };
const far = { registry: 'far.io', path: 'model' };
const registry = { isOpen: true };
const withCredential = { isOpen: false };
const mirror = { mirrorOf: 'r.io' };

/** Access records in memory, as a restart finds them. */
function keep(): Accesses & { readonly puts: string[] } {
  const records = new Map<string, AccessRecord>();
  const puts: string[] = [];
  return {
    puts,
    async put(record) {
      puts.push(record.repository);
      records.set(record.repository, structuredClone(record));
    },
    remove: async name => void records.delete(name),
    list: async () => [...records.values()],
  };
}

test('what a registry gave to anyone is for every repository', async () => {
  const memory = await openAccessCache(keep(), 'salt');
  memory.note(open, [{ digest, servedBy: registry }]);
  assert.deepEqual([memory.knows(open, digest), memory.knows(far, digest)], [true, false]);
  await memory.admit(open, { kind: 'anyone' }, {});
  assert.deepEqual([memory.knows(other, digest), memory.knows(far, digest)], [true, true]);
});

test('what a mirror gave is for the repository that it was brought for alone, after a restart too', async () => {
  const accesses = keep();
  const before = await openAccessCache(accesses, 'salt');
  await before.admit(open, { kind: 'anyone' }, {});
  before.note(open, [{ digest, servedBy: mirror }]);
  await before.save(open);
  for (const memory of [before, await openAccessCache(accesses, 'salt')]) {
    assert.deepEqual(
      [open, other, far].map(repository => memory.knows(repository, digest)),
      [true, false, false],
    );
    assert.equal(memory.isNear(other, digest), true, 'so that the registry is asked, not downloaded from');
  }
});

test('the word of the registry comes after that of a mirror, and stays', async () => {
  const memory = await openAccessCache(keep(), 'salt');
  await memory.admit(open, { kind: 'anyone' }, {});
  for (const servedBy of [mirror, registry, mirror]) memory.note(open, [{ digest, servedBy }]);
  assert.equal(memory.knows(far, digest), true);
});

test('public is what the registry of an open repository has shown itself, after a restart too', async () => {
  const [shown, mirrored, loaded, hidden] = ['1', '2', '3', '4'].map(hex =>
    toDigest('sha256', hex.repeat(64)),
  );
  assert.ok(shown && mirrored && loaded && hidden);
  const accesses = keep();
  const before = await openAccessCache(accesses, 'salt');
  before.note(open, [{ digest: shown, servedBy: registry }]);
  assert.deepEqual([before.isOpen(open), before.isPublic(shown)], [false, false]);
  await before.admit(open, { kind: 'anyone' }, {});
  before.note(open, [{ digest: mirrored, servedBy: mirror }]);
  await before.load(open, [loaded]);
  await before.admit(other, { kind: 'node' }, {});
  before.note(other, [{ digest: hidden, servedBy: registry }]);
  await before.save(other);
  for (const memory of [before, await openAccessCache(accesses, 'salt')]) {
    assert.deepEqual([memory.isOpen(open), memory.isOpen(other), memory.isOpen(far)], [true, false, false]);
    assert.deepEqual(
      [shown, mirrored, loaded, hidden].map(one => memory.isPublic(one)),
      [true, false, false, false],
    );
  }
});

test('what a repository got after it became private is not public, after a restart too', async () => {
  const [v1, v2] = ['1', '2'].map(hex => toDigest('sha256', hex.repeat(64)));
  assert.ok(v1 && v2);
  const accesses = keep();
  const before = await openAccessCache(accesses, 'salt');
  await before.admit(open, { kind: 'anyone' }, {});
  before.note(open, [{ digest: v1, servedBy: registry }]);
  await before.save(open);
  await before.admit(open, { kind: 'secret' }, { brought: 'a secret' });
  before.note(open, [{ digest: v2, servedBy: withCredential }]);
  before.note(open, [{ digest: v1, servedBy: withCredential }]);
  await before.save(open);
  for (const memory of [before, await openAccessCache(accesses, 'salt')]) {
    assert.deepEqual(
      [memory.isPublic(v1), memory.isPublic(v2), memory.knows(far, v1), memory.knows(far, v2)],
      [true, false, true, false],
    );
    assert.deepEqual([memory.knows(open, v1), memory.knows(open, v2)], [true, true]);
  }
});

test('a registry that refuses a repository without a credential closes what it once served so', async () => {
  const accesses = keep();
  const before = await openAccessCache(accesses, 'salt');
  await before.admit(open, { kind: 'anyone' }, {});
  await before.admit(open, { kind: 'secret' }, { brought: 'a secret' });
  before.note(open, [{ digest, servedBy: registry }]);
  await before.save(open);
  await before.withdraw(open);
  for (const memory of [before, await openAccessCache(accesses, 'salt')]) {
    assert.deepEqual(
      [memory.isOpen(open), memory.isPublic(digest), memory.knows(far, digest), memory.admits(open, {})],
      [false, false, false, false],
    );
    assert.deepEqual(
      [memory.knows(open, digest), memory.admits(open, { brought: 'a secret' })],
      [true, true],
    );
  }
  const written = accesses.puts.length;
  for (const repository of [open, far]) await before.withdraw(repository);
  assert.equal(accesses.puts.length, written, 'a refusal that changes nothing is not written');
  await before.admit(open, { kind: 'anyone' }, {});
  assert.equal(before.isPublic(digest), true);
});

test('what was served with a credential becomes public once it is served without, and is written', async () => {
  const accesses = keep();
  const memory = await openAccessCache(accesses, 'salt');
  await memory.admit(open, { kind: 'anyone' }, {});
  for (const servedBy of [withCredential, registry]) {
    memory.note(open, [{ digest, servedBy }]);
    await memory.save(open);
  }
  assert.equal((await openAccessCache(accesses, 'salt')).isPublic(digest), true);
  const [record] = await accesses.list();
  assert.deepEqual([record?.digests, record?.open], [[], [digest]], 'a digest is written once');
  await memory.sweep(async () => false);
  assert.deepEqual([memory.isPublic(digest), memory.knows(open, digest)], [false, false]);
  memory.note(open, [{ digest, servedBy: withCredential }]);
  assert.equal(memory.isPublic(digest), false, 'what was swept is forgotten');
});

test('an administrator who loads content of an open repository does not show it to others', async () => {
  const memory = await openAccessCache(keep(), 'salt');
  await memory.admit(open, { kind: 'anyone' }, {});
  await memory.load(open, [digest]);
  assert.deepEqual([memory.isPublic(digest), memory.knows(far, digest)], [false, false]);
  assert.deepEqual([memory.knows(open, digest), memory.isLoaded(open, digest)], [true, true]);
});

test('an admitted caller is remembered while any content is cached', async () => {
  let time = 0;
  const accesses = keep();
  const memory = await openAccessCache(accesses, 'salt', () => time);
  await memory.admit(open, { kind: 'anyone' }, {});
  memory.note(open, [{ digest, servedBy: mirror }]);
  await memory.sweep(async () => true);
  assert.equal(memory.admits(open, {}), true);
  time += 601_000;
  await memory.sweep(async () => false);
  assert.deepEqual([memory.admits(open, {}), memory.knows(open, digest)], [false, false]);
  assert.deepEqual(await accesses.list(), [], formatRepository(open));
});

test('an access that the registry has just granted outlives a collection that finds nothing of it yet', async () => {
  const accesses = keep();
  const memory = await openAccessCache(accesses, 'salt');
  await memory.admit(open, { kind: 'anyone' }, {});
  await memory.sweep(async () => false);
  memory.note(open, [{ digest, servedBy: registry }]);
  assert.equal((await openAccessCache(accesses, 'salt')).admits(open, {}), true);
});
