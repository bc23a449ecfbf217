import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { describePressure, type Limits } from './disk-marks.ts';

const limits: Limits = { cacheHigh: 75, cacheLow: 70, diskMax: 90 };
const disk = (usedBytes: number, usedInodes = 0) => ({
  totalBytes: 1000,
  usedBytes,
  availableBytes: 1000 - usedBytes,
  totalInodes: 100,
  usedInodes,
});
const collected = 'unused content is collected, unless it is pinned';

describe('a disk', () => {
  for (const [what, usage, says] of [
    ['at a mark', disk(750, 75), undefined],
    ['above the mark of collection', disk(751), `the disk is above --cache-high (75): ${collected}`],
    ['above that of pulls', disk(1000), `the disk is above --disk-max (90): pulls fail, and ${collected}`],
    [
      'without inodes',
      disk(0, 76),
      `the number of inodes of the disk is above --cache-high (75): ${collected}`,
    ],
    ['below every mark', disk(0), undefined],
  ] as const)
    test(`${what} says ${says ?? 'nothing'}`, () => {
      assert.equal(describePressure(usage, 0, limits), says);
    });
});

test('a cache above its own limit is said', () => {
  const bounded = { ...limits, cacheMax: 100 };
  assert.equal(describePressure(disk(0), 100, bounded), undefined);
  assert.equal(
    describePressure(disk(0), 101, bounded),
    `the cache is above --cache-max (100 B): ${collected}`,
  );
});
