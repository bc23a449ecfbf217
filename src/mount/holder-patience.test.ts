import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createHolderPatience } from './holder-patience.ts';

test('reads wait from the end of a daemon on, for as long as the patience', () => {
  const patience = createHolderPatience(1000);
  assert.equal(patience.remaining(0), undefined);
  patience.came(0);
  assert.equal(patience.remaining(5000), undefined);
  patience.left(5000);
  assert.deepEqual(
    [patience.remaining(5000), patience.remaining(5400), patience.remaining(9000)],
    [1000, 600, 0],
  );
});

test('a daemon that stays ends the wait, and one that crashes again and again does not', () => {
  const patience = createHolderPatience(1000);
  patience.came(0);
  patience.left(100);
  for (let now = 200; now < 900; now += 100) {
    patience.came(now);
    patience.left(now + 50);
    assert.equal(patience.remaining(now + 50), 1050 - now);
  }
  patience.came(1000);
  patience.left(1100);
  assert.equal(patience.remaining(1100), 1000);
});
