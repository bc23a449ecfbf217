import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createFew } from './few.ts';

test('the first few items are named, and the rest counted', () => {
  const few = createFew();
  assert.equal(few.format(), undefined);
  const described: number[] = [];
  for (const each of [1, 2, 3, 4, 5]) {
    few.add(() => {
      described.push(each);
      return `${each}`;
    });
  }
  assert.equal(few.format(), '1, 2, 3 and 2 more');
  assert.deepEqual(described, [1, 2, 3]);
});
