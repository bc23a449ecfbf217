import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openFiles } from '../../test/support/oci/unpacking.ts';
import { temporaryDirectory } from '../../test/support/os/temporary.ts';
import { bodiesPerDirectory, bodyDirectory, bodyName } from '../tree/layer-files.ts';
import { openBodyWriter } from './body-writer.ts';

const count = 6000;
const contentOf = (body: number): string => `${body} `.repeat(body % 97);
const attributesOf = (body: number) => ({
  mode: 0o400 + (body % 0o377),
  uid: body % 3,
  gid: body % 5,
  mtime: 1_001_000_000_000n * BigInt(body - count / 2),
});

function makeDirectories(into: string): void {
  for (let body = 0; body < count; body += bodiesPerDirectory) mkdirSync(join(into, bodyDirectory(body)));
}

/** Yields the thread now and then, as a stream reader does. */
async function writeAll(into: string): Promise<void> {
  await using writer = openBodyWriter(into);
  for (let body = 0; body < count; body++) {
    writer.write(body, attributesOf(body), Buffer.from(contentOf(body)));
    if (body % 100 === 0) await sleep(1);
  }
  await writer.finish();
}

test('each body is under its number, with its bytes and attributes, whichever thread wrote it', async () => {
  await using directory = await temporaryDirectory();
  makeDirectories(directory.path);
  await writeAll(directory.path);
  for (let body = 0; body < count; body++) {
    const path = join(directory.path, bodyName(body));
    const stats = statSync(path, { bigint: true });
    const { mode, uid, gid, mtime } = attributesOf(body);
    assert.deepEqual(
      [readFileSync(path, 'utf8'), stats.mode & 0o7777n, stats.uid, stats.gid, stats.mtimeNs],
      [contentOf(body), BigInt(mode), BigInt(uid), BigInt(gid), mtime],
    );
  }
});

for (const taken of [0, 1000, 3000, count - 1]) {
  test(`an existing file is never overwritten, and fails the layer: body ${taken}`, async () => {
    await using directory = await temporaryDirectory();
    makeDirectories(directory.path);
    const path = join(directory.path, bodyName(taken));
    writeFileSync(path, 'mine');
    await assert.rejects(writeAll(directory.path), { code: 'EEXIST' });
    assert.equal(readFileSync(path, 'utf8'), 'mine');
    assert.deepEqual(openFiles(directory.path), []);
  });
}

test('a writer accepts small, plain bodies', async () => {
  await using directory = await temporaryDirectory();
  await using writer = openBodyWriter(directory.path);
  const plain = attributesOf(1);
  assert.deepEqual(
    [
      writer.takes(plain, 0),
      writer.takes(plain, 64 * 1024),
      writer.takes(plain, 64 * 1024 + 1),
      writer.takes({ ...plain, xattrs: { 'user.a': 'b' } }, 1),
      writer.takes({ ...plain, mtime: 1n }, 1),
    ],
    [true, true, false, false, false],
  );
});
