import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ArtifactError } from './error.ts';
import { formatSize, parseSize } from './size.ts';

test('a size is parsed in bytes, with a factor of 1,024 with an i and of 1,000 without', () => {
  const table: [string, number][] = [
    ['0', 0],
    ['4096', 4096],
    ['4096B', 4096],
    ['1KiB', 1024],
    ['1k', 1000],
    ['500GiB', 500 * 2 ** 30],
    ['500Gi', 500 * 2 ** 30],
    ['10G', 10e9],
    ['10GB', 10e9],
    ['1.5 TiB', 1.5 * 2 ** 40],
    [' 2 mib ', 2 * 2 ** 20],
  ];
  for (const [text, bytes] of table) assert.equal(parseSize(text), bytes, text);
});

test('an invalid size is refused', () => {
  for (const text of [
    '',
    ' ',
    'x',
    '-1',
    '1e3',
    '5 apples',
    '1XiB',
    '1iB',
    '9007199254740993',
    '99PiB',
    '.5G',
  ]) {
    assert.throws(() => parseSize(text), { name: 'ArtifactError', code: 'invalid' }, text);
  }
});

test('a size is formatted for humans', () => {
  const table: [number, string][] = [
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 KiB'],
    [1024, '1.0 KiB'],
    [3.1 * 2 ** 30, '3.1 GiB'],
    [512 * 2 ** 20, '512 MiB'],
    [1023 * 1024, '1.0 MiB'],
    [2 ** 40, '1.0 TiB'],
    [99.97 * 1024, '100 KiB'],
  ];
  for (const [bytes, text] of table) assert.equal(formatSize(bytes), text);
});

test('a formatted size parses back within its rounding', () => {
  fc.assert(
    fc.property(fc.nat({ max: 7 * 2 ** 50 }), bytes => {
      const text = formatSize(bytes);
      assert.ok(text.length <= 8, text);
      assert.ok(Math.abs(parseSize(text) - bytes) <= Math.max(bytes * 0.052, 0.5), `${bytes}: ${text}`);
    }),
  );
});

test('any text is a size or invalid', () => {
  fc.assert(
    fc.property(fc.string(), text => {
      try {
        assert.ok(parseSize(text) >= 0);
      } catch (error) {
        assert.ok(error instanceof ArtifactError && error.code === 'invalid');
      }
    }),
  );
});
