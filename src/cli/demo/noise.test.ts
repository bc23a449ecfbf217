import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { noise } from './noise.ts';

const all = Buffer.concat([...noise(1, 0, 3_000_000)]);

test('any part of the noise has the bytes of the whole, in pieces of at most 1 MiB', () => {
  const offset = fc.nat(all.length);
  fc.assert(
    fc.property(offset, offset, (one, other) => {
      const [from, to] = [Math.min(one, other), Math.max(one, other)];
      const pieces = [...noise(1, from, to)];
      assert.ok(pieces.every(({ length }) => length > 0 && length <= 2 ** 20));
      assert.ok(Buffer.concat(pieces).equals(all.subarray(from, to)), `${from} to ${to}`);
    }),
    { numRuns: 30 },
  );
});

test('another seed gives other bytes', () => {
  assert.notDeepEqual([...noise(2, 0, 64)], [...noise(1, 0, 64)]);
});
