import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { mountTmpfs } from '../../../test/support/os/tmpfs.ts';
import { openDirectory } from '../files/directory.ts';
import { openScratch } from '../files/scratch.ts';
import { openGroupCommit } from './group-commit.ts';

test('files that arrive at any time are complete under their names, readable by all, without leftovers', async () => {
  await using directory = await temporaryDirectory();
  await using scratch = await openScratch(join(directory.path, 'tmp'));
  await using blobs = await openDirectory(join(directory.path, 'blobs'));
  const groupCommit = openGroupCommit(scratch);
  const files = Array.from({ length: 300 }, (_, nth) => [`file-${nth}`, randomBytes(nth * 50)] as const);
  await Promise.all(
    files.map(async ([name, bytes], nth) => {
      for (let turn = 0; turn < nth % 5; turn++) await new Promise(setImmediate);
      await groupCommit.commit(bytes, blobs, name);
      assert.deepEqual(readFileSync(join(blobs.path, name)), bytes);
    }),
  );
  assert.equal(statSync(join(blobs.path, 'file-7')).mode & 0o7777, 0o644);
  assert.deepEqual(readdirSync(join(directory.path, 'tmp')), []);
});

test('an existing file stays, also if two arrive at once', async () => {
  await using directory = await temporaryDirectory();
  await using scratch = await openScratch(join(directory.path, 'tmp'));
  await using blobs = await openDirectory(join(directory.path, 'blobs'));
  const groupCommit = openGroupCommit(scratch);
  const commit = () => groupCommit.commit(Buffer.from('same'), blobs, 'name');
  await Promise.all([commit(), commit(), commit()]);
  const { ino } = statSync(join(blobs.path, 'name'));
  await commit();
  assert.equal(statSync(join(blobs.path, 'name')).ino, ino);
  assert.deepEqual(readdirSync(join(directory.path, 'tmp')), []);
});

test('a file without space fails alone: the others of its round succeed, and its bytes are released', async () => {
  await using directory = await temporaryDirectory();
  const disk = mountTmpfs(join(directory.path, 'disk'), 'size=1m');
  await using scratch = await openScratch(join(disk, 'tmp'));
  await using blobs = await openDirectory(join(disk, 'blobs'));
  await using elsewhere = await openDirectory(join(disk, 'elsewhere'));
  const groupCommit = openGroupCommit(scratch);
  const outcomes = await Promise.allSettled([
    groupCommit.commit(Buffer.alloc(300_000), blobs, 'first'),
    groupCommit.commit(Buffer.alloc(900_000), blobs, 'too-big'),
    groupCommit.commit(Buffer.alloc(300_000), blobs, 'second'),
    groupCommit.commit(Buffer.alloc(1), elsewhere, 'fourth'),
  ]);
  assert.deepEqual(
    outcomes.map(outcome => (outcome.status === 'fulfilled' ? 'committed' : outcome.reason.code)),
    ['committed', 'ENOSPC', 'committed', 'committed'],
  );
  assert.deepEqual(readdirSync(blobs.path).toSorted(), ['first', 'second']);
  assert.deepEqual(readdirSync(join(disk, 'tmp')), []);
  await groupCommit.commit(Buffer.alloc(300_000), blobs, 'third');
});
