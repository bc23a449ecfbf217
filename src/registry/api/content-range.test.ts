import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseContentRange } from './content-range.ts';

test('first byte, last byte and total of a range are parsed', () => {
  assert.deepEqual(parseContentRange('bytes 5-9/10'), { first: 5, last: 9, total: 10 });
  assert.deepEqual(parseContentRange('bytes 5-9/*'), { first: 5, last: 9, total: undefined });
});

test('anything else is not a range', () => {
  for (const header of [
    undefined,
    '',
    'bytes */10',
    'bytes 9-5/10',
    'bytes=5-9',
    'items 5-9/10',
    'bytes 5-9/10,',
  ]) {
    assert.equal(parseContentRange(header), undefined);
  }
});

test('every formatted range is parsed back', () => {
  fc.assert(
    fc.property(fc.nat(), fc.nat(), fc.nat(), (first, more, total) => {
      assert.deepEqual(parseContentRange(`bytes ${first}-${first + more}/${total}`), {
        first,
        last: first + more,
        total,
      });
    }),
  );
});
