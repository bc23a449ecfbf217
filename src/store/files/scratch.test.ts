import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { mountTmpfs } from '../../../test/support/os/tmpfs.ts';
import { openScratch, removeTree } from './scratch.ts';

test('a run of empty directories is removed in slices that leave the event loop free', async () => {
  await using directory = await temporaryDirectory();
  const tree = join(directory.path, 'tree');
  for (let nth = 0; nth < 3000; nth++) mkdirSync(join(tree, String(nth)), { recursive: true });
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const start = performance.now();
  await removeTree(tree, new AbortController().signal);
  const whole = performance.now() - start;
  await sleep(10); // a delay is measured at the end of a turn
  delay.disable();
  assert.equal(existsSync(tree), false);
  assert.ok(delay.max / 1e6 < whole / 3, `${delay.max / 1e6} of ${whole} ms without a turn`);
});

test('a tree that is deeper than a path can say is removed', async () => {
  await using directory = await temporaryDirectory();
  const tree = join(directory.path, 'tree');
  const name = 'n'.repeat(250);
  mkdirSync(tree);
  for (let level = 0; level < 40; level++) {
    const below = join(directory.path, 'below');
    renameSync(tree, below);
    mkdirSync(tree);
    writeFileSync(join(tree, 'file'), 'x');
    renameSync(below, join(tree, name));
  }
  await removeTree(tree, new AbortController().signal);
  assert.deepEqual(readdirSync(directory.path), []);
});

test('directories that become symlinks while a tree is removed lead nowhere', async () => {
  await using directory = await temporaryDirectory();
  const [tree, outside, away] = ['tree', 'outside', 'away'].map(name => join(directory.path, name)) as [
    string,
    string,
    string,
  ];
  for (const path of [tree, outside, away]) mkdirSync(path);
  for (let nth = 0; nth < 1000; nth++) {
    mkdirSync(join(tree, String(nth)));
    writeFileSync(join(tree, String(nth), 'mine'), 'x');
  }
  writeFileSync(join(outside, 'kept'), 'x');
  const removal = removeTree(tree, new AbortController().signal);
  await sleep(1); // it has begun, and goes on after this
  const left = readdirSync(tree);
  for (const name of left) {
    renameSync(join(tree, name), join(away, name));
    symlinkSync(outside, join(tree, name));
  }
  await removal;
  assert.ok(left.length > 0);
  assert.deepEqual(readdirSync(directory.path).toSorted(), ['away', 'outside']);
  assert.deepEqual(readdirSync(outside), ['kept']);
});

test('a tree whose files and directories were made immutable is removed', async () => {
  await using directory = await temporaryDirectory();
  const tree = join(directory.path, 'tree');
  mkdirSync(join(tree, 'full'), { recursive: true });
  mkdirSync(join(tree, 'empty'));
  writeFileSync(join(tree, 'full', 'file'), 'x');
  writeFileSync(join(tree, 'big'), Buffer.alloc(5 * 1024 * 1024));
  for (const path of ['full/file', 'full', 'empty', 'big', '.'])
    execFileSync('chattr', ['+i', join(tree, path)]);
  await removeTree(tree, new AbortController().signal);
  assert.deepEqual(readdirSync(directory.path), []);
});

test('what cannot be deleted is logged once it is out of its place, and keeps nothing else', async () => {
  await using directory = await temporaryDirectory();
  const [tmp, tree] = ['tmp', 'tree'].map(name => join(directory.path, name)) as [string, string];
  const notes: string[] = [];
  await using scratch = await openScratch(tmp, text => void notes.push(text));
  mountTmpfs(join(tree, 'mount'), 'size=64k'); // a mount point cannot be removed
  await scratch.discard(tree);
  assert.equal(existsSync(tree), false);
  assert.match(notes.join('\n'), /^\S+\/tmp\/\S+, removed from \S+\/tree, cannot be deleted.*EBUSY/);
  for (const name of ['0', 'zzz']) writeFileSync(join(tmp, name), '');
  await assert.rejects(scratch.sweep(), { code: 'EBUSY' });
  for (const name of ['0', 'zzz']) assert.equal(existsSync(join(tmp, name)), false);
});
