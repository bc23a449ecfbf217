import assert from 'node:assert/strict';
import { test } from 'node:test';
import { longestGap } from './driver-probe.ts';

test('a gap between answers is long by what the driver did not do, and not by what others had of the machine', () => {
  const answers = [
    { at: 0, stalled: 0 },
    { at: 100, stalled: 10 },
    { at: 1300, stalled: 1150 }, // others had the CPUs
    { at: 1400, stalled: 1150 },
    { at: 2000, stalled: 1160 }, // it slept
    { at: 2100, stalled: 1200 },
  ];
  assert.deepEqual(longestGap(answers), { ms: 600, stalled: 10 });
  assert.deepEqual(longestGap([]), { ms: 0, stalled: 0 });
});
