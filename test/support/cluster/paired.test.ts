import assert from 'node:assert/strict';
import { test } from 'node:test';
import { medianOf, ratioOf } from './paired.ts';

test('a median has the interval of its order statistics', () => {
  const upTo = (count: number): readonly number[] =>
    Array.from({ length: count }, (_, index) => count - index);
  assert.deepEqual(medianOf(upTo(3)), { median: 2, least: 1, most: 3 });
  assert.deepEqual(medianOf(upTo(5)), { median: 3, least: 1, most: 5 });
  assert.deepEqual(medianOf(upTo(6)), { median: 3.5, least: 1, most: 6 });
  assert.deepEqual(medianOf(upTo(9)), { median: 5, least: 2, most: 8 });
  assert.deepEqual(medianOf(upTo(20)), { median: 10.5, least: 6, most: 15 });
});

test('a ratio is that of each turn', () => {
  assert.deepEqual(ratioOf([2, 30, 4], [1, 10, 4]), { median: 2, least: 1, most: 3 });
});
