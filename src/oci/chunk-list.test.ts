import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { ArtifactError } from '../util/error.ts';
import {
  type ChunkList,
  chunkDigestBytes,
  chunkSizeFor,
  formatChunkList,
  maxChunkListBytes,
  parseChunkList,
} from './chunk-list.ts';
import { parseDigest } from './digest.ts';

const MiB = 1024 ** 2;
const hex = createHash('sha256').update('the blob').digest('hex');
const blob = { digest: parseDigest(`sha256:${hex}`), size: 9 * MiB + 1 };

function listOf(size: number, chunkSize: number): ChunkList {
  const digests = Buffer.alloc(Math.ceil(size / chunkSize) * chunkDigestBytes, 7);
  return { chunkSize, blob: { ...blob, size }, digests };
}

const list = formatChunkList(listOf(blob.size, 4 * MiB));

test('a chunk list has a head of 64 bytes, with little-endian numbers, and 32 bytes for each chunk', () => {
  const head = Buffer.concat([
    Buffer.from('OCICHNK1'),
    Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]),
    Buffer.from([0, 0, 0x40, 0, 0, 0, 0, 0]),
    Buffer.from([1, 0, 0x90, 0, 0, 0, 0, 0]),
    Buffer.from(hex, 'hex'),
  ]);
  assert.deepEqual(list, Buffer.concat([head, Buffer.alloc(96, 7)]));
});

for (const [blobSize, chunkSize] of [
  [0, 4],
  [1, 4],
  [500 * 1024 ** 3, 4],
  [131_070 * 4 * MiB, 4],
  [131_070 * 4 * MiB + 1, 8],
  [1024 ** 4, 16],
] as const) {
  test(`chunks of a blob of ${blobSize} bytes have ${chunkSize} MiB`, () => {
    assert.equal(chunkSizeFor(blobSize), chunkSize * MiB);
  });
}

test('what is formatted is parsed, for any size of a blob, and is no larger than a list may be', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 42 }), size => {
      const written = listOf(size, chunkSizeFor(size));
      const document = formatChunkList(written);
      assert.ok(document.length <= maxChunkListBytes);
      // At an odd offset, where a view of numbers could not be.
      const moved = Buffer.alloc(document.length + 1);
      document.copy(moved, 1);
      const { digests, ...parsed } = parseChunkList(moved.subarray(1), written.blob);
      assert.deepEqual(parsed, { chunkSize: written.chunkSize, blob: written.blob });
      assert.ok(Buffer.from(digests).equals(written.digests));
    }),
    { numRuns: 50 },
  );
});

function changed(at: number, ...bytes: readonly number[]): Buffer {
  const copy = Buffer.from(list);
  copy.set(bytes, at);
  return copy;
}

function ofChunkSize(chunkSize: bigint): Buffer {
  const copy = Buffer.from(list);
  copy.writeBigUInt64LE(chunkSize, 16);
  return copy;
}

const other = parseDigest(`sha512:${'a'.repeat(128)}`);
for (const [what, bytes, why, of = blob] of [
  ['nothing', Buffer.alloc(0), /has 0 bytes, fewer than its head/],
  ['a part of the head', list.subarray(0, 63), /has 63 bytes, fewer than its head/],
  ['more than a list may have', Buffer.alloc(maxChunkListBytes + 1), /more than 4\.0 MiB/],
  ['another magic', changed(7, 0x32), /does not begin with OCICHNK1/],
  ['another algorithm', changed(8, 2), /algorithm 2 is not known/],
  ['bytes where zeros are reserved', changed(15, 1), /its bytes 12 to 15 are not zeros/],
  ['a chunk size of 0', ofChunkSize(0n), /chunk size 0 is no power of 2/],
  ['chunks of a byte', ofChunkSize(1n), /chunk size 1 is no power of 2/],
  ['a chunk size that is no power of 2', ofChunkSize(5n * BigInt(MiB)), /chunk size 5242880 is no power/],
  ['chunks of 128 MiB', ofChunkSize(2n ** 27n), /chunk size 134217728 is no power of 2/],
  ['the largest chunk size', ofChunkSize(2n ** 64n - 1n), /chunk size 18446744073709551615 is no power/],
  ['another blob', changed(63, 0), /is the one of sha256:.*, and the blob/],
  ['another size', changed(24, 2), /with 9437186 bytes, and the blob .* 9437185/],
  ['a size beyond 2^53', changed(31, 1), /with 72057594047365121 bytes, and/],
  ['a chunk too few', list.subarray(0, -32), /128 bytes where its chunks need 160/],
  ['a part of a digest', list.subarray(0, -1), /159 bytes where its chunks need 160/],
  ['a byte too many', Buffer.concat([list, Buffer.alloc(1)]), /161 bytes where its chunks need 160/],
  ['a blob with a sha512', list, /only blobs with a sha256 have chunk lists/, { ...blob, digest: other }],
] as const) {
  test(`${what} is refused as a chunk list: ${why.source}`, () => {
    assert.throws(
      () => parseChunkList(bytes, of),
      (thrown: unknown) =>
        thrown instanceof ArtifactError && thrown.code === 'unmountable' && why.test(thrown.message),
    );
  });
}

test('no bytes make the parser fail otherwise than by refusing them', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(list.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }),
      fc.nat(list.length),
      (changes, length) => {
        const bytes = Buffer.from(list);
        for (const [at, value] of changes) bytes[at] = value;
        try {
          const parsed = parseChunkList(bytes.subarray(0, length), blob);
          assert.deepEqual(formatChunkList(parsed), bytes);
        } catch (thrown) {
          assert.ok(thrown instanceof ArtifactError && thrown.code === 'unmountable', String(thrown));
        }
      },
    ),
    { numRuns: 2000 },
  );
});
