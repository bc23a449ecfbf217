import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { mountCutDisk } from '../../../test/support/os/cut-disk.ts';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { needs } from '../../../test/support/project/tools.ts';
import { openDirectory } from './directory.ts';
import { openDurableList } from './durable-list.ts';
import { openScratch } from './scratch.ts';
import { openUnsynced } from './unsynced.ts';

const never = new AbortController().signal;

async function open(path: string) {
  await using stack = new AsyncDisposableStack();
  const scratch = stack.use(await openScratch(join(path, 'tmp')));
  const root = stack.use(await openDirectory(path));
  const { list } = await openDurableList(join(path, 'list'), root, scratch.fresh, 'boot');
  stack.use(list);
  const unsynced = stack.use(await openUnsynced(root, list));
  mkdirSync(join(path, 'content'), { recursive: true });
  const place = async (name: string, bytes: string | Buffer): Promise<void> => {
    const [aside, to] = [scratch.fresh(), join(path, 'content', name)];
    writeFileSync(aside, bytes);
    await unsynced.place(name, () => renameSync(aside, to), [to, join(path, 'content')]);
  };
  const opened = stack.move();
  return { ...unsynced, list, place, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

/** What another boot has to remove. */
async function leftOf(path: string): Promise<readonly string[]> {
  await using scratch = await openScratch(join(path, 'tmp'));
  await using root = await openDirectory(path);
  const { list, left } = await openDurableList(join(path, 'list'), root, scratch.fresh, 'next boot');
  await list[Symbol.asyncDispose]();
  return left;
}

test('content is listed while a power cut may take it, and not after it was awaited', async () => {
  await using directory = await temporaryDirectory();
  await using unsynced = await open(directory.path);
  await Promise.all(['a', 'b'].map(name => unsynced.place(name, name)));
  assert.deepEqual((await leftOf(directory.path)).toSorted(), ['a', 'b']);
  await unsynced.settle(['a', 'b'], never);
  assert.deepEqual(await leftOf(directory.path), []);
});

test('names that are expected are listed in one write, and leave the list if nothing comes', async () => {
  await using directory = await temporaryDirectory();
  await using unsynced = await open(directory.path);
  const names = Array.from({ length: 100 }, (_, nth) => `n${nth}`);
  {
    using _expected = unsynced.expect(names);
    await unsynced.place('n0', 'bytes');
    assert.deepEqual(unsynced.list.names().toSorted(), names.toSorted());
    await unsynced.settle(['n0'], never);
  }
  await unsynced.list.remove([]);
  assert.deepEqual(await leftOf(directory.path), []);
});

test(
  'content that was awaited survives a power cut, and what was not awaited is listed or absent',
  needs('root', 'mkfs.ext4'),
  async () => {
    await using directory = await temporaryDirectory();
    const disk = mountCutDisk(directory.path);
    await using unsynced = await open(disk.path);
    const bytes = (name: string): Buffer => Buffer.alloc(20_000, `${name} `);
    let lost = 0;
    for (let round = 0; round < 6; round++) {
      const names = Array.from({ length: 30 * (round + 1) }, (_, nth) => `r${round}-${nth}`);
      using _expected = round % 2 === 0 ? unsynced.expect(names) : undefined;
      await Promise.all(names.map(name => unsynced.place(name, bytes(name))));
      const awaited = names.slice(0, round);
      await unsynced.settle(awaited, never);
      const late = [0, 1].map(nth => `r${round}-late-${nth}`);
      for (const name of late) await unsynced.place(name, bytes(name));

      const cut = disk.cut();
      const left = await leftOf(cut);
      for (const name of awaited) assert.ok(existsSync(join(cut, 'content', name)), `${name} was awaited`);
      const placed = [...names, ...late];
      for (const name of placed) {
        const path = join(cut, 'content', name);
        const isRight = existsSync(path) && readFileSync(path).equals(bytes(name));
        if (!isRight) lost++;
        assert.ok(isRight || !existsSync(path) || left.includes(name), `${name} is right, absent or listed`);
      }
    }
    assert.ok(lost > 0, 'a power cut loses what was not awaited');
  },
);
