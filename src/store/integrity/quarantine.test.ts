import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { openDirectory } from '../files/directory.ts';
import { openQuarantine } from './quarantine.ts';

const root = await temporaryDirectory();
after(() => root[Symbol.asyncDispose]());

let made = 0;
async function openWorld() {
  const path = join(root.path, String(made++));
  mkdirSync(path);
  const directory = await openDirectory(path);
  const quarantine = openQuarantine(directory, async gone => rmSync(gone, { recursive: true }));
  const damaged = join(root.path, `damaged-${made}`);
  const kept = (): readonly string[] => readdirSync(path).map(name => name.slice(name.indexOf('-') + 1));
  return { path, directory, quarantine, damaged, kept };
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
    await new Promise(resolve => setTimeout(resolve, 10)); // ctime has a granularity
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
