import assert from 'node:assert/strict';
import { appendFileSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { openDirectory } from './directory.ts';
import { openDurableList } from './durable-list.ts';
import { openScratch } from './scratch.ts';

async function openList(path: string, bootId = 'boot-1') {
  await using stack = new AsyncDisposableStack();
  const scratch = stack.use(await openScratch(join(path, 'tmp')));
  const above = stack.use(await openDirectory(path));
  const { list, left } = await openDurableList(join(path, 'list'), above, scratch.fresh, bootId);
  stack.use(list);
  const opened = stack.move();
  return { ...list, left, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

/** What the next process of the same boot, or of another one, finds. */
async function reopen(path: string, bootId?: string) {
  await using list = await openList(path, bootId);
  return { names: list.names(), left: list.left };
}

test('names that were added are found by the next process of the same boot', async () => {
  await using directory = await temporaryDirectory();
  await using list = await openList(directory.path);
  await list.add(['a', 'b', 'c']);
  await list.remove(['b']);
  assert.deepEqual([list.has('a'), list.has('b')], [true, false]);
  await using next = await openList(directory.path);
  assert.deepEqual([next.names().toSorted(), next.left], [['a', 'c'], []]);
  await next.remove(['a']);
  assert.deepEqual((await reopen(directory.path)).names, ['c']);
});

test('names of another boot are left over until something is added', async () => {
  await using directory = await temporaryDirectory();
  await using list = await openList(directory.path);
  await list.add(['a']);
  await using other = await openList(directory.path, 'boot-2');
  assert.deepEqual([other.left, other.names(), other.has('a')], [['a'], [], false]);
  assert.deepEqual((await reopen(directory.path, 'boot-2')).left, ['a'], 'a start may be interrupted');
  await other.add(['b']);
  assert.deepEqual((await reopen(directory.path, 'boot-3')).left, ['b']);
});

test('a torn last line is skipped, also after more was added', async () => {
  await using directory = await temporaryDirectory();
  await using list = await openList(directory.path);
  await list.add(['whole']);
  appendFileSync(join(directory.path, 'list'), '+to');
  assert.deepEqual((await reopen(directory.path)).names, ['whole']);
  await list.add(['more']);
  const { names } = await reopen(directory.path);
  assert.ok(names.includes('whole') && names.includes('more'), names.join());
});

test('the file becomes short when nothing is left in it', async () => {
  await using directory = await temporaryDirectory();
  await using list = await openList(directory.path);
  const names = Array.from({ length: 1000 }, (_, nth) => `name-${nth}`);
  await list.add(names);
  await list.remove(names);
  const path = join(directory.path, 'list');
  assert.ok(statSync(path).size < 100, readFileSync(path, 'utf8'));
});

test('a list that never becomes empty is written anew, and loses nothing', async () => {
  await using directory = await temporaryDirectory();
  await using list = await openList(directory.path);
  await list.add(['stays']);
  const many = Array.from({ length: 20_000 }, (_, nth) => `a-rather-long-name-${nth}`);
  for (let turn = 0; turn < 3; turn++) {
    await list.add(many);
    await list.remove(many);
  }
  assert.ok(statSync(join(directory.path, 'list')).size < 2_000_000);
  assert.deepEqual((await reopen(directory.path)).names, ['stays']);
});

test('in any order of concurrent changes, the file has what the list says', async () => {
  await using directory = await temporaryDirectory();
  await using list = await openList(directory.path);
  const change = fc.record({
    adds: fc.boolean(),
    names: fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { maxLength: 3 }),
    waits: fc.boolean(),
  });
  const perform = async (changes: readonly (typeof change extends fc.Arbitrary<infer T> ? T : never)[]) => {
    const all: Promise<void>[] = [];
    for (const { adds, names, waits } of changes) {
      all.push(adds ? list.add(names) : list.remove(names));
      if (waits) await Promise.all(all);
      const { names: found } = await reopen(directory.path);
      for (const name of list.names()) assert.ok(found.includes(name), `${name} is in the file`);
    }
    await Promise.all(all);
  };
  await fc.assert(fc.asyncProperty(fc.array(change, { maxLength: 12 }), perform), { numRuns: 60 });
});
