import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { rawEntry } from '../../test/support/oci/raw-tar.ts';
import { blockSize, parseHeader, parseNumber } from './headers.ts';

test('a number is octal digits among spaces and NULs, and ends at a NUL', () => {
  for (const [text, value] of [
    ['0000644\0', 0o644],
    ['   644 \0', 0o644],
    ['\0 \0 755\0 ', 0o755],
    ['12\x00345 ', 0o12],
    ['7777777', 0o7777777],
    ['777777777777', 0o777777777777],
    ['', 0],
    [' \0 ', 0],
    ['12 34', Number.NaN],
    ['-1', Number.NaN],
    ['0x1f', Number.NaN],
    ['129', Number.NaN],
    ['1\x7f', Number.NaN],
  ] as const)
    assert.equal(
      parseNumber(Buffer.from(`x${text}x`, 'latin1'), 1, text.length),
      value,
      JSON.stringify(text),
    );
});

test('a checksum may add signed or unsigned bytes', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 99, maxLength: 99 }),
      fc.integer({ min: -2, max: 2 }),
      (name, off) => {
        const block = Buffer.from(rawEntry({ name: 'n' }).subarray(0, blockSize));
        block.set(name, 0);
        block.fill(' ', 148, 156);
        const unsigned = block.reduce((sum, byte) => sum + byte, 0);
        const signed = new Int8Array(block).reduce((sum, byte) => sum + byte, 0);
        for (const sum of [unsigned, signed]) {
          const isRight = off === 0 || [unsigned, signed].includes(sum + off);
          if (sum + off < 0) continue;
          block.write(`${(sum + off).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
          if (isRight) assert.equal(parseHeader(block).mode, 0o644);
          else assert.throws(() => parseHeader(block), /the checksum of a header is wrong/);
        }
      },
    ),
  );
});
