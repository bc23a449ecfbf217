import assert from 'node:assert/strict';
import { test } from 'node:test';
import { image } from './artifacts.ts';

test('layers of one seed are the same, whenever they are made', async context => {
  context.mock.timers.enable({ apis: ['Date'], now: 0 });
  const first = await image(['base', 'top'], 3, 'gzip');
  context.mock.timers.tick(3_600_000);
  const second = await image(['base', 'next'], 3, 'gzip');
  const [a, b] = [first, second].map(({ layers }) => layers.map(({ diffId }) => diffId));
  assert.equal(a?.[0], b?.[0]);
  assert.notEqual(a?.[1], b?.[1]);
});
