import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeToc, encodeToc } from '../../test/support/oci/toc.ts';
import { toDigest } from '../oci/digest.ts';
import { decodeName } from '../util/name.ts';
import type { TocEntry } from './toc.ts';
import { createTocDecoder, createTocEncoder, parseTail, tailLength } from './toc-text.ts';

const digest = toDigest('sha512', 'ab'.repeat(64));
const diffId = toDigest('sha256', 'cd'.repeat(32));

test('any table is read back, whatever the bytes of its names and the chunks', () => {
  const name = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.uint8Array({ maxLength: 20 }).map(decodeName),
    fc.constantFrom('line\nfeed', '\u2028', '\udc80\udcff', '__proto__'),
  );
  const attributes = fc.record(
    {
      mode: fc.nat(0o1777),
      uid: fc.nat(),
      gid: fc.nat(),
      mtime: fc.bigInt(-(2n ** 62n), 2n ** 64n),
      xattrs: fc.dictionary(
        name.map(suffix => `user.${suffix}`),
        name,
        { noNullPrototype: true },
      ),
    },
    { requiredKeys: ['mode', 'uid', 'gid', 'mtime'], noNullPrototype: true },
  );
  const what = fc.constantFrom('character device', 'block device', 'FIFO', 'socket');
  const entry: fc.Arbitrary<TocEntry> = fc.oneof(
    fc.tuple(name, attributes).map(([path, stat]) => ({ kind: 'directory' as const, path, ...stat })),
    fc.tuple(name, fc.nat(), fc.nat(), attributes).map(([path, size, body, stat]) => ({
      kind: 'file' as const,
      path,
      size,
      body,
      sha256: 'ef',
      ...stat,
    })),
    fc
      .tuple(name, name, attributes)
      .map(([path, target, stat]) => ({ kind: 'symlink' as const, path, target, ...stat })),
    fc.tuple(name, name).map(([path, target]) => ({ kind: 'link' as const, path, target })),
    fc.tuple(name, what).map(([path, what]) => ({ kind: 'special' as const, path, what })),
  );
  const property = fc.property(
    fc.array(entry),
    fc.array(name),
    fc.integer({ min: 1, max: 200 }),
    (entries, notes, step) => {
      const files = entries.filter(({ kind }) => kind === 'file');
      const bytes = files.reduce((sum, file) => sum + ('size' in file ? file.size : 0), 0);
      const toc = { digest, diffId, bytes, bodies: files.length, notes, entries };
      assert.deepEqual(decodeToc(encodeToc(toc), step), toc);
    },
  );
  fc.assert(property, { numRuns: 300 });
});

test('a line longer than one read is complete', () => {
  const entries: TocEntry[] = [
    { kind: 'link', path: 'é'.repeat(700_000), target: 'x' },
    { kind: 'link', path: 'after', target: 'y' },
  ];
  const file = encodeToc({ digest, diffId, notes: [], entries });
  assert.deepEqual(decodeToc(file, 64 * 1024).entries, entries);
});

test('a line that no encoder writes is refused before it ends, however small the reads are', () => {
  const file = Buffer.alloc(6 * 1024 * 1024, '[');
  const decoder = createTocDecoder();
  let at = 0;
  const read = (): void => {
    for (; at < file.length; at += 64 * 1024) decoder.push(file.subarray(at, at + 64 * 1024));
  };
  assert.throws(read, /a line has more than 4194304 bytes/);
  assert.equal(at, 4 * 1024 * 1024);
});

test('the totals are in the last bytes of a file, however long the rest', () => {
  const long = {
    kind: 'file',
    path: 'x'.repeat(5000),
    sha256: '',
    mode: 0,
    uid: 0,
    gid: 0,
    mtime: 0n,
  } as const;
  const size = 2 ** 52;
  const entries = [
    { ...long, size, body: 0 },
    { ...long, size: 1, body: 1 },
  ];
  const totals = { digest, diffId: digest, bytes: size + 1, bodies: 2 };
  const tail = (notes: readonly string[]): Buffer =>
    encodeToc({ ...totals, notes, entries }).subarray(-tailLength);
  assert.deepEqual(parseTail(tail([])), totals);
  assert.deepEqual(parseTail(tail(['n'.repeat(5000)])), totals);
  assert.equal(parseTail(tail([]).subarray(0, -1)), undefined);
  assert.equal(parseTail(Buffer.alloc(0)), undefined);
});

test('a table is written in chunks while it is made', () => {
  let written = 0;
  const encoder = createTocEncoder(({ length }) => {
    assert.ok(length < 128 * 1024);
    written += length;
  });
  for (let n = 0; n < 10_000; n++) encoder.add({ kind: 'link', path: `from/${n}`, target: `to/${n}` });
  assert.ok(written > 200_000);
});
