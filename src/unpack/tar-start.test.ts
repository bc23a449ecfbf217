import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { rawTar } from '../../test/support/oci/raw-tar.ts';
import { temporaryDirectory } from '../../test/support/os/temporary.ts';
import { startsAsTar } from './tar-start.ts';

const tar = rawTar({ name: 'f', body: 'x'.repeat(100_000) });
const noise = Buffer.from(Array.from({ length: 4096 }, (_, at) => (at * 131) % 251));

for (const [name, bytes, expected] of [
  ['a tar', tar, true],
  ['a tar in gzip', gzipSync(tar), true],
  ['a tar in zstd', zstdCompressSync(tar), true],
  ['a tar that is cut off', tar.subarray(0, 600), true],
  ['a text', Buffer.from('text'), false],
  ['nothing', Buffer.alloc(0), false],
  ['a file of zeros', Buffer.alloc(10_240), false],
  ['other bytes', noise, false],
  ['other bytes in gzip', gzipSync(noise), false],
  ['damaged gzip', gzipSync(noise).fill(7, 20), false],
  ['a tar in xz', Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 1, 2, 3]), false],
] as const) {
  test(`${name} is ${expected ? 'a' : 'not a'} tar`, async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'layer');
    await writeFile(path, bytes);
    assert.equal(await startsAsTar(path), expected);
  });
}
