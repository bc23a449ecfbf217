import assert from 'node:assert/strict';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory } from '../../test/support/os/temporary.ts';
import { makeDirectories } from './make-directories.ts';

test('a directory is made with its parents, and nothing else is taken for one', async () => {
  await using root = await temporaryDirectory();
  const path = join(root.path, 'a/b/c');
  for (const _ of [1, 2]) makeDirectories(path, 0o700);
  for (const made of ['a', 'a/b', 'a/b/c']) assert.equal(statSync(join(root.path, made)).mode & 0o777, 0o700);
  const file = join(root.path, 'file');
  writeFileSync(file, '');
  assert.throws(() => makeDirectories(file, 0o700), { code: 'EEXIST' });
  assert.throws(() => makeDirectories(join(file, 'x/y'), 0o700), { code: 'ENOTDIR' });
});

test('where the kernel makes no directory, it ends with an error', () => {
  for (const path of ['/proc/none', '/proc/none/deeper'])
    assert.throws(() => makeDirectories(path, 0o700), { code: 'ENOENT' });
});
