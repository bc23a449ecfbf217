import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRate } from './rate.ts';

test('a rate is the growth per second since the first value', () => {
  const rate = createRate(10_000);
  assert.equal(rate(500, 0), 0, 'what was there before has no speed');
  assert.equal(rate(600, 200), 500);
  assert.equal(rate(1500, 1000), 1000);
});

test('a rate ignores values older than its window', () => {
  const rate = createRate(10_000);
  for (let now = 0; now <= 60_000; now += 200) rate(now < 30_000 ? now * 1000 : 30_000_000, now);
  assert.equal(rate(30_000_000, 60_200), 0, 'nothing came for 30 seconds');
  assert.ok(rate(30_001_000, 60_400) > 90);
});

test('a value that restarts from less yields no negative rate', () => {
  const rate = createRate(10_000);
  rate(1000, 0);
  assert.equal(rate(10, 1000), 0);
});
