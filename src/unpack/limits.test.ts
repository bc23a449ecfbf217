import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { type RawEntry, rawEntry, rawTar } from '../../test/support/oci/raw-tar.ts';
import { openUnpacking } from '../../test/support/oci/unpacking.ts';

const { unpack } = await openUnpacking();

const file: RawEntry = { name: 'a/f', body: 'x' };
const zeros = gzipSync(rawTar({ name: 'zeros', body: Buffer.alloc(30 << 20) }), { level: 9 });
for (const [name, bytes, limit, why] of [
  [
    'entries',
    rawTar(file, file, { ...file, name: 'third' }),
    { maxEntries: 2 },
    /entry "third": more than 2 entries in one layer \(--max-layer-entries\)/,
  ],
  [
    'bytes of a body that it only claims',
    rawTar({ ...file, size: 5000 }),
    { maxBytes: 4096 },
    /entry "a\/f": with its 5000 bytes the layer unpacks to more than 4\.0 KiB \(--max-layer-size\)/,
  ],
  [
    'bytes in all',
    rawTar(file, file, file),
    { maxBytes: 3000 },
    /unpacks to more than 2\.9 KiB \(--max-layer-size\)/,
  ],
  [
    'bytes of nothing but zeros',
    gzipSync(Buffer.alloc(50_000)),
    { maxBytes: 40_000 },
    /unpacks to more than 39\.1 KiB \(--max-layer-size\)/,
  ],
  [
    'ratio',
    gzipSync(Buffer.concat([rawEntry(file), Buffer.alloc(30 << 20)])),
    { maxRatio: 100 },
    /unpacks to more than 100 times its .* \(--max-layer-ratio\)/,
  ],
  [
    'ratio of one body',
    zeros,
    { maxRatio: 100 },
    /entry "zeros": with its 31457280 bytes the layer unpacks to more than 100 times its .* \(--max-layer-ratio\)/,
  ],
  [
    'names',
    gzipSync(
      rawTar(
        ...Array.from(
          { length: 2300 },
          () => [{ type: 'K', body: `${'x'.repeat(60_000)}\0` }, { type: '2' }] as const,
        ).flat(),
      ),
    ),
    {},
    /more than 128 MiB of names/,
  ],
] as const) {
  test(`a bomb is refused by its ${name}`, async () => {
    await assert.rejects(unpack(bytes, limit), { code: 'unmountable', message: why });
  });
}

test('a high ratio of a small layer, and a ratio within the limit, are accepted', async () => {
  await unpack(gzipSync(rawTar({ name: 'zeros', body: Buffer.alloc(5 << 20) })), { maxRatio: 2 });
  await unpack(zeros, { maxRatio: 1100 });
});
