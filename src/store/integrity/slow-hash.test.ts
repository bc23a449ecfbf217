import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { openSlowHash } from './slow-hash.ts';

const directory = await temporaryDirectory();
after(() => directory[Symbol.asyncDispose]());

const never = new AbortController().signal;

function file(name: string, bytes: Uint8Array): string {
  const path = join(directory.path, name);
  writeFileSync(path, bytes);
  return path;
}

test('all files together are hashed no faster than the limit', async () => {
  await using slow = openSlowHash(4 * 1024 * 1024);
  await slow.hash(file('first', Buffer.alloc(1)), 'sha256', never);
  const bytes = Buffer.alloc(512 * 1024, 7);
  const path = file('half', bytes);
  const start = performance.now();
  const answers = await Promise.all([1, 2].map(() => slow.hash(path, 'sha512', never)));
  assert.ok(performance.now() - start >= 240);
  const hex = createHash('sha512').update(bytes).digest('hex');
  assert.deepEqual(
    answers,
    [1, 2].map(() => ({ size: bytes.length, hex })),
  );
});

test('the thread ends in the middle of a file, also if the disk is slower than the limit', async () => {
  const slow = openSlowHash(Infinity);
  const path = file('endless', Buffer.alloc(0));
  truncateSync(path, 2 ** 40);
  const hashing = assert.rejects(slow.hash(path, 'sha256', never), /has ended/);
  await sleep(200);
  const start = performance.now();
  await slow[Symbol.asyncDispose]();
  assert.ok(performance.now() - start < 2000);
  await hashing;
});
