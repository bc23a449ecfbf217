import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { openDirectory } from '../files/directory.ts';
import { removeTree } from '../files/scratch.ts';
import { openQuarantine } from './quarantine.ts';

const root = await temporaryDirectory();
after(() => root[Symbol.asyncDispose]());

let made = 0;
async function openWorld() {
  const path = join(root.path, String(made++));
  mkdirSync(path);
  const directory = await openDirectory(path);
  const stuck = new Set<string>();
  const quarantine = openQuarantine(directory, async gone => {
    if (stuck.has(gone)) throw new Error(`EIO: ${gone}`);
    await removeTree(gone, new AbortController().signal);
  });
  const damaged = join(root.path, `damaged-${made}`);
  const kept = (): readonly string[] => readdirSync(path).map(name => name.slice(name.indexOf('-') + 1));
  return { path, directory, quarantine, damaged, kept, stuck };
}

test('damaged content is moved unchanged, a file or a directory, and missing content is not an error', async () => {
  const { path, directory, quarantine, damaged, kept } = await openWorld();
  await using _ = directory;
  writeFileSync(damaged, 'wrong');
  await quarantine.take(damaged, 'file');
  assert.equal(existsSync(damaged), false);
  const [name = ''] = readdirSync(path);
  assert.equal(readFileSync(join(path, name), 'utf8'), 'wrong');
  mkdirSync(join(damaged, 'd'), { recursive: true });
  await quarantine.take(damaged, 'directory');
  await quarantine.take(damaged, 'nothing');
  assert.deepEqual([...kept()].sort(), ['directory', 'file']);
});

test('the latest few are kept, and fewer of large ones', async () => {
  const { directory, quarantine, damaged, kept } = await openWorld();
  await using _ = directory;
  for (let nth = 0; nth < 10; nth++) {
    writeFileSync(damaged, 'wrong');
    await quarantine.take(damaged, String(nth));
    await sleep(10); // ctime has a granularity
  }
  assert.deepEqual([...kept()].sort(), ['2', '3', '4', '5', '6', '7', '8', '9']);
  writeFileSync(damaged, '');
  truncateSync(damaged, 1024 * 1024 * 1024);
  await quarantine.take(damaged, 'large');
  assert.deepEqual(kept(), ['large']);
});

test('nothing is kept for longer than a week', async t => {
  const { directory, quarantine, damaged, kept } = await openWorld();
  await using _ = directory;
  writeFileSync(damaged, 'wrong');
  await quarantine.take(damaged, 'old');
  const now = Date.now();
  t.mock.method(Date, 'now', () => now + 6 * 24 * 60 * 60 * 1000);
  await quarantine.retire();
  assert.deepEqual(kept(), ['old']);
  t.mock.method(Date, 'now', () => now + 8 * 24 * 60 * 60 * 1000);
  await quarantine.retire();
  assert.deepEqual(kept(), []);
});

/** Makes a directory that cannot be measured: parts of it are deeper than a path can say. */
function makeDeep(path: string): void {
  const name = 'n'.repeat(250);
  mkdirSync(path);
  for (let level = 0; level < 40; level++) {
    renameSync(path, `${path}-below`);
    mkdirSync(path);
    renameSync(`${path}-below`, join(path, name));
  }
}

test('content that cannot be measured is not kept, and the other content is', async () => {
  const { directory, quarantine, damaged, kept } = await openWorld();
  await using _ = directory;
  writeFileSync(damaged, 'wrong');
  await quarantine.take(damaged, 'before');
  await sleep(10);
  makeDeep(damaged);
  await quarantine.take(damaged, 'deep');
  await sleep(10);
  writeFileSync(damaged, 'wrong');
  await quarantine.take(damaged, 'after');
  assert.deepEqual([...kept()].sort(), ['after', 'before']);
});

test('content that cannot be removed keeps nothing else from being removed, nor from being taken', async t => {
  const { path, directory, quarantine, damaged, kept, stuck } = await openWorld();
  await using _ = directory;
  for (const name of ['old', 'stuck']) {
    writeFileSync(damaged, 'wrong');
    await quarantine.take(damaged, name);
    await sleep(10);
  }
  for (const name of readdirSync(path)) if (name.endsWith('stuck')) stuck.add(join(path, name));
  const now = Date.now();
  t.mock.method(Date, 'now', () => now + 8 * 24 * 60 * 60 * 1000);
  await assert.rejects(quarantine.retire(), /EIO/);
  assert.deepEqual(kept(), ['stuck']);
  writeFileSync(damaged, 'wrong');
  await quarantine.take(damaged, 'new');
  assert.equal(existsSync(damaged), false);
});
