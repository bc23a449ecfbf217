import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { ftruncateSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder } from '../../test/support/temporary.ts';
import type { HashStep } from './hash-worker.ts';
import { openHashing } from './hashing.ts';
import { type HashThread, startHash } from './running-hash.ts';

const never = new AbortController().signal;
const MiB = 1024 * 1024;
const hexOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

test('files that grow at the same time, and start again at any point, have the hash of what is in them', async () => {
  await using folder = await temporaryFolder();
  await using hashing = openHashing();
  const grow = async (name: number): Promise<void> => {
    await using file = await open(join(folder.path, String(name)), 'w+');
    const hash = hashing.start(file.fd, 'sha256');
    for (const size of [11 * MiB, 3 * MiB, 17 * MiB + name]) {
      hash.restart();
      ftruncateSync(file.fd, 0);
      const bytes = randomBytes(size);
      for (let at = 0; at < size; at += MiB) {
        const to = Math.min(size, at + MiB);
        writeSync(file.fd, bytes, at, to - at, at);
        hash.grow(to);
      }
      if (size > 15 * MiB) assert.equal(await hash.digest(), hexOf(bytes));
    }
    await hash.end();
  };
  await Promise.all([0, 1, 2, 3, 4].map(grow));
});

test('a hash begins again after its digest', async () => {
  await using folder = await temporaryFolder();
  await using hashing = openHashing();
  await using file = await open(join(folder.path, 'file'), 'w+');
  const hash = hashing.start(file.fd, 'sha512');
  assert.equal(await hash.digest(), createHash('sha512').digest('hex'));
  await file.writeFile('text');
  hash.grow(4);
  assert.equal(await hash.digest(), createHash('sha512').update('text').digest('hex'));
  await hash.end();
});

test('a file that cannot be read, and a thread that is gone, fail the digest and nothing else', async () => {
  await using folder = await temporaryFolder();
  const hashing = openHashing();
  await using file = await open(join(folder.path, 'file'), 'w');
  const hash = hashing.start(file.fd, 'sha256');
  hash.grow(9 * MiB);
  await hash.catchUp(never);
  await assert.rejects(hash.digest(), /EBADF/);
  const late = hashing.start(file.fd, 'sha256');
  await hashing[Symbol.asyncDispose]();
  await assert.rejects(late.digest(), /the thread hash-worker has ended/);
  await Promise.all([hash.end(), late.end()]);
});

test('a few steps lie at the thread at a time, and none after the end', async () => {
  const steps: HashStep[] = [];
  const answers: (() => void)[] = [];
  const thread: HashThread = {
    ask(step) {
      steps.push(step);
      return new Promise(resolve => answers.push(() => resolve('f00d')));
    },
    async [Symbol.asyncDispose]() {},
  };
  const hash = startHash(thread, 7, 3, 'sha256');
  hash.grow(100 * MiB);
  hash.grow(200 * MiB);
  assert.equal(steps.length, 3);
  answers.shift()?.();
  await new Promise(setImmediate);
  assert.equal(steps.length, 4);
  const ending = hash.end();
  while (answers.length > 0) {
    answers.shift()?.();
    await new Promise(setImmediate);
  }
  await ending;
  assert.deepEqual(
    steps.map(({ from, to, last }) => [from / MiB, to / MiB, last]),
    [
      [0, 4, false],
      [4, 8, false],
      [8, 12, false],
      [12, 16, false],
      [16, 16, true],
    ],
  );
});
