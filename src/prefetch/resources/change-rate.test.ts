import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createChangeRate } from './change-rate.ts';

const [kib, mib] = [1024, 1024 * 1024];

test('a namespace may bring 8 MiB at once, and then 128 KiB in a second', () => {
  const clock = { at: 5 };
  const rate = createChangeRate(() => clock.at);
  assert.equal(rate.count('shop', 8 * mib), true);
  assert.equal(rate.count('shop', 1), false);
  for (let second = 1; second < 100; second++) {
    clock.at += 1_000;
    assert.equal(rate.count('shop', 128 * kib - 1), true, `after ${second} s`);
  }
  assert.equal(rate.count('shop', 2 * kib), false);
  assert.equal(rate.count('other', mib), true);
});

test('after 16 MiB, all wait for 2 s for each MiB, those of the cluster too', () => {
  const clock = { at: 5 };
  const rate = createChangeRate(() => clock.at);
  for (let nth = 0; nth < 16; nth++) rate.count(`n${nth}`, mib);
  assert.equal(rate.waitMs(), 0);
  assert.equal(rate.count(undefined, 100 * mib), true);
  assert.equal(rate.waitMs(), 200_000);
  clock.at += 150_000;
  assert.equal(rate.waitMs(), 50_000);
});

test('very many namespaces are forgotten when they have been quiet', () => {
  const clock = { at: 0 };
  const rate = createChangeRate(() => clock.at);
  rate.count('loud', 8 * mib);
  for (let nth = 0; nth < 5_000; nth++) {
    rate.count(`n${nth}`, 10);
    clock.at += 1;
  }
  assert.equal(rate.count('loud', mib), false);
});
