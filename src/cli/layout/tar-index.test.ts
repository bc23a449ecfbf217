import assert from 'node:assert/strict';
import { open, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { endOfTar, paxEntry, rawEntry, rawTar } from '../../../test/support/oci/raw-tar.ts';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { readLayout } from './layout.ts';
import { readIndexMember } from './tar-index.ts';

const index = { name: './index.json', body: '{"here":true}' };
const blob = { name: 'blobs/sha256/a', body: rawTar({ name: 'index.json', body: '{"inner":true}' }) };
const textOf = (member: Buffer | undefined): string | undefined => member?.toString('latin1', 512, 512 + 13);

async function find(tar: Buffer): Promise<string | undefined> {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'l.tar');
  await writeFile(path, tar);
  await using file = await open(path);
  return textOf(await readIndexMember(file));
}

test('index.json is found wherever it is in a tar, and not in what only looks like it', async () => {
  assert.equal(await find(rawTar(index)), '{"here":true}');
  assert.equal(await find(rawTar(blob, index)), '{"here":true}');
  assert.equal(
    await find(rawTar({ name: '././@LongLink', type: 'L', body: 'n'.repeat(600) }, blob, index)),
    '{"here":true}',
  );
  assert.equal(await find(rawTar(blob)), undefined);
  assert.equal(await find(rawTar({ name: 'index.json', prefix: 'more', body: '{}' })), undefined);
  assert.equal(await find(rawTar({ name: 'index.json', type: '5' })), undefined);
  assert.equal(await find(gzipSync(rawTar(index))), undefined);
  assert.equal(await find(Buffer.alloc(0)), undefined);
  assert.equal(await find(rawTar(blob, index).subarray(0, 1000)), undefined);
});

test('a blob of more than 8 GiB is passed over by the size in its pax header', async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'l.tar');
  const size = 9 * 2 ** 30;
  const headers = Buffer.concat([
    paxEntry({ size: String(size) }),
    rawEntry({ name: 'blobs/sha256/a', size: 0 }),
  ]);
  await writeFile(path, Buffer.concat([headers, blob.body]));
  await truncate(path, headers.length + size);
  await using file = await open(path, 'r+');
  await file.write(rawTar(index), 0, undefined, headers.length + size);
  assert.equal(textOf(await readIndexMember(file)), '{"here":true}');
});

test('a tar file is sent with its index.json first, and then whole', async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'l.tar');
  const tar = rawTar(blob, index);
  await writeFile(path, tar);
  const layout = await readLayout(path, Readable.from([]), new AbortController().signal);
  const sent = Buffer.concat(await Array.fromAsync(layout.tar));
  assert.deepEqual(sent, Buffer.concat([rawTar(index).subarray(0, -endOfTar.length), tar]));
  assert.equal(sent.length, layout.bytes);
});
