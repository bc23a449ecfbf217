import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { endOfTar, paxEntry, rawEntry } from '../../test/support/oci/raw-tar.ts';
import { small } from '../../test/support/oci/small-tar.ts';
import { sha256, tarOf } from '../../test/support/oci/tar.ts';
import { openFiles, openUnpacking, showToc } from '../../test/support/oci/unpacking.ts';
import { bodyName } from '../tree/layer-files.ts';
import { ArtifactError } from '../util/error.ts';
import { openBodyFiles } from './body-files.ts';
import { createExtraction } from './extraction.ts';
import { setXattrs } from './xattrs.ts';

const { unpack, directory, label } = await openUnpacking();

test('a body of many chunks is complete', async () => {
  const content = randomBytes(3_000_001);
  const toc = await unpack(
    gzipSync(
      await tarOf([
        [{ name: 'a' }, 'x'],
        [{ name: 'big' }, content],
        [{ name: 'b' }, 'y'],
      ]),
    ),
  );
  assert.ok(readFileSync(join(toc.into, bodyName(1))).equals(content));
  assert.equal(toc.bytes, content.length + 2);
});

const onlyFile = rawEntry({ name: 'f', body: 'x' });
for (const [name, bytes, shown] of [
  ['no blocks of zeros at the end', onlyFile, ['f: x']],
  ['one block of zeros at the end', Buffer.concat([onlyFile, Buffer.alloc(512)]), ['f: x']],
  ['20 MiB of zeros at the end', Buffer.concat([onlyFile, Buffer.alloc(20 << 20)]), ['f: x']],
  ['bytes after the end', Buffer.concat([onlyFile, endOfTar, Buffer.alloc(5000, 'x')]), ['f: x']],
  ['entries after the end', Buffer.concat([onlyFile, endOfTar, rawEntry({ name: 'g' }), endOfTar]), ['f: x']],
  [
    'a far entry after the end',
    Buffer.concat([onlyFile, Buffer.alloc(1 << 20), rawEntry({ name: 'g' })]),
    ['f: x'],
  ],
] as const) {
  test(`the end of a tar: ${name}`, async () => {
    const toc = await unpack(bytes);
    assert.deepEqual(showToc(toc), shown);
    assert.equal(toc.diffId, sha256(bytes));
  });
}

test('a chunk with many small entries does not overflow the stack', async () => {
  const entries: string[] = [];
  const into = join(directory, 'one-chunk');
  mkdirSync(into);
  await using bodies = openBodyFiles(into, setXattrs, () => {});
  using extraction = createExtraction({
    bodies,
    label,
    maxEntries: 1e6,
    bound: { bytes: 1e6, excess: '', sparseBytes: 1e6, sparseExcess: '' },
    onEntry: entry => entries.push(entry.path),
    onDropped: () => {},
  });
  extraction.write(Buffer.concat(Array.from({ length: 30_000 }, () => rawEntry({ name: 'd', type: '5' }))));
  extraction.end();
  assert.equal(entries.length, 30_000);
});

test('an incomplete body is closed', async () => {
  const tar = rawEntry({ name: 'big', body: Buffer.alloc(1 << 20) });
  await assert.rejects(unpack(tar.subarray(0, 500_000)), {
    message: /ends too early, after the entry "big"/,
  });
  assert.deepEqual(openFiles(directory), []);
});

test('a tar cut after any 512 bytes is refused, or has all the entries that begin before the cut', async () => {
  const whole = showToc(await unpack(small));
  let complete = 0;
  for (let length = 0; length < small.length; length += 512) {
    try {
      const shown = showToc(await unpack(small.subarray(0, length)));
      assert.deepEqual(shown, whole.slice(0, shown.length));
      complete++;
    } catch (error) {
      assert.ok(error instanceof ArtifactError && error.code === 'unmountable', String(error));
    }
  }
  // Before each of the six entries, and within the end.
  assert.equal(complete, 8);
});

test('any bytes yield a tree of bodies or a refusal', async () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 2000 }).map(bytes => Buffer.from(bytes)),
    fc
      .record({
        name: fc.string(),
        type: fc.constantFrom(...Array.from('01234567xgLKSMZ\0')),
        body: fc.string(),
        magic: fc.constantFrom('ustar\x0000', 'ustar  \0', ''),
      })
      .map(rawEntry),
    fc
      .dictionary(fc.constantFrom('path', 'size', 'linkpath', 'mtime', 'uid'), fc.string())
      .map(records => paxEntry(records)),
    fc.constantFrom(endOfTar, Buffer.alloc(512)),
  );
  const tar = fc
    .tuple(fc.array(piece, { maxLength: 6 }), fc.nat(), fc.constantFrom(-1, 0, 1))
    .map(([pieces, at, bit]) => {
      const bytes = Buffer.concat(pieces);
      if (bit >= 0 && bytes.length > 0)
        bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ (1 << bit);
      return bit === 0 ? gzipSync(bytes) : bytes;
    });
  await fc.assert(
    fc.asyncProperty(tar, async bytes => {
      try {
        await unpack(bytes);
      } catch (error) {
        if (!(error instanceof ArtifactError && error.code === 'unmountable')) throw error;
      }
    }),
    { numRuns: 500 },
  );
});
