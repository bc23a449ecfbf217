import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { constants, gzipSync, zstdCompressSync } from 'node:zlib';
import { endOfTar } from '../../test/support/oci/raw-tar.ts';
import { small, smallShown } from '../../test/support/oci/small-tar.ts';
import { sha256 } from '../../test/support/oci/tar.ts';
import { openFiles, openUnpacking, showToc } from '../../test/support/oci/unpacking.ts';
import { ArtifactError } from '../util/error.ts';
import { inspectArriving, inspectFile, readUncompressed } from './compression.ts';

const { unpack, digest, directory, label } = await openUnpacking();

const checksummed = { params: { [constants.ZSTD_c_checksumFlag]: 1 } };
const half = small.length / 2;
for (const [name, bytes] of [
  ['plain', small],
  ['gzip', gzipSync(small)],
  ['two gzip members', Buffer.concat([gzipSync(small.subarray(0, half)), gzipSync(small.subarray(half))])],
  ['gzip padded with zeros', Buffer.concat([gzipSync(small), Buffer.alloc(700)])],
  ['zstd', zstdCompressSync(small, checksummed)],
  [
    'two zstd frames',
    Buffer.concat([zstdCompressSync(small.subarray(0, half)), zstdCompressSync(small.subarray(half))]),
  ],
  ['zstd with skippable frames', Buffer.concat([skippable(), zstdCompressSync(small), skippable()])],
] as const) {
  test(`a tar is unpacked: ${name}`, async () => {
    const toc = await unpack(bytes);
    assert.deepEqual(showToc(toc), smallShown);
    assert.equal(toc.diffId, sha256(small));
    assert.equal(toc.digest, digest);
    assert.deepEqual(toc.notes, []);
  });
}

function skippable(): Buffer {
  return Buffer.concat([Buffer.of(0x50, 0x2a, 0x4d, 0x18, 100, 0, 0, 0), Buffer.alloc(100, 7)]);
}

for (const [name, bytes] of [
  ['two blocks of zeros', endOfTar],
  ['nothing at all', Buffer.alloc(0)],
  ['a compressed nothing', gzipSync(Buffer.alloc(0))],
  ['zeros of 10 KiB', gzipSync(Buffer.alloc(10_240))],
] as const) {
  test(`an empty tar is accepted: ${name}`, async () => assert.deepEqual((await unpack(bytes)).entries, []));
}

for (const [name, bytes, why] of [
  ['xz', Buffer.from('fd377a585a000004', 'hex'), /is compressed with xz; only gzip, zstd/],
  ['bzip2', Buffer.from('BZh91AY&SY'), /is compressed with bzip2/],
  ['damaged gzip', flip(gzipSync(small), -6), /is damaged gzip: incorrect data check/],
  ['cut gzip', gzipSync(small).subarray(0, -9), /is damaged gzip: unexpected end of file/],
  [
    'bytes after gzip',
    Buffer.concat([gzipSync(small), Buffer.from('rest')]),
    /is damaged gzip: incorrect header check/,
  ],
  ['damaged zstd', flip(zstdCompressSync(small, checksummed), -1), /is damaged zstd/],
  ['cut zstd', zstdCompressSync(small).subarray(0, -9), /is damaged zstd/],
  [
    'bytes after zstd',
    Buffer.concat([zstdCompressSync(small), Buffer.from('rest')]),
    /is damaged zstd: no frame at byte/,
  ],
] as const) {
  test(`damage is refused: ${name}`, async () => {
    await assert.rejects(unpack(bytes), (error: unknown) => {
      assert.ok(error instanceof ArtifactError, String(error));
      assert.equal(error.code, 'unmountable');
      assert.ok(error.message.startsWith(label));
      assert.match(error.message, why);
      return true;
    });
  });
}

/** One frame with one raw block, that requires a window of 2^log bytes (RFC 8878, 3.1.1). */
function zstdFrame(log: number, content: Buffer): Buffer {
  const block = Buffer.alloc(3);
  block.writeUIntLE((content.length << 3) | 1, 0, 3);
  return Buffer.concat([Buffer.of(0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3), block, content]);
}

test('a zstd frame may have the window of zstd --long, and not one of a gigabyte of memory', async () => {
  assert.deepEqual(showToc(await unpack(zstdFrame(27, small))), smallShown);
  for (const log of [28, 31, 41]) {
    await assert.rejects(unpack(zstdFrame(log, small)), {
      code: 'unmountable',
      message: /asks for more than 128 MiB of memory .*; compress it with --long=27 at most$/,
    });
  }
});

function flip(bytes: Buffer, at: number): Buffer {
  const flipped = Buffer.from(bytes);
  flipped[bytes.length + at] = (flipped.at(at) ?? 0) ^ 1;
  return flipped;
}

function write(name: string, bytes: Uint8Array): string {
  const path = join(directory, name);
  writeFileSync(path, bytes);
  return path;
}

for (const [compression, bytes] of [
  ['none', Buffer.alloc(2 ** 20)],
  ['gzip', gzipSync(Buffer.alloc(2 ** 26))],
  ['zstd', zstdCompressSync(Buffer.alloc(2 ** 26))],
] as const) {
  test(`a file is closed when its reading ends, also in the middle: ${compression}`, async () => {
    const path = write(compression, bytes);
    for (let nth = 0; nth < 20; nth++) {
      for await (const _ of readUncompressed(path, inspectFile(path), label)) break;
      assert.deepEqual(openFiles(path), []);
    }
  });
}

test('a file is closed when its reading ends by damage', async () => {
  const path = write('damaged', flip(gzipSync(randomBytes(2 ** 20)), -(2 ** 19)));
  const reading = Array.fromAsync(readUncompressed(path, inspectFile(path), label));
  await assert.rejects(reading, /is damaged gzip/);
  assert.deepEqual(openFiles(path), []);
});

test('a file that has fewer bytes than are said to be there is not taken for a plain tar', async () => {
  for (const there of [0, 5]) {
    const path = write('empty', gzipSync(small).subarray(0, there));
    await assert.rejects(
      inspectArriving(path, 1000, async () => 600),
      { message: `it has ${there} bytes, and not 6` },
    );
  }
  const path = write('tiny', Buffer.from('tar'));
  assert.equal((await inspectArriving(path, 3, async () => 3)).compression, 'none');
});
