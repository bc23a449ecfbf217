import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toDocument } from './document.ts';
import { findMisses } from './misses.ts';
import { sampleReport } from './sample.ts';

test('the document says who was measured, where, and what was reached', () => {
  const text = toDocument(sampleReport);
  for (const line of [
    'Measured on 31 January 2026 by `npm run bench`, on a machine with 2 cores of A, 4 GB of memory, Linux 6 and Node 26, idle.',
    '| us | 1 | a volume | no |',
    '| **us** | 1.00 (1.00 to 1.00) | 1.00 | 0.00 | 1.00 | 1 |',
    '| *floor: least* | 0.50 (0.50 to 0.50) | 0.50 | 0.00 | 0.50 | 1 |',
    'Ratio to a < b: wall 0.50 (0.50 to 0.50), CPU 0.50 (0.50 to 0.50). The goal for wall is 0.4: missed. The goal for CPU is 0.5: reached.',
    '| cached: a publish, median | 1.23 ms | 0.50 ms: Probe | 3.00 ms |',
  ])
    assert.ok(text.includes(line), line);
});

test('what is above a bar is missed; times only where they count', () => {
  const memory = 'idle: memory after a publish: 70 MB, more than 60 MB';
  assert.deepEqual(findMisses(sampleReport, false), [memory]);
  assert.deepEqual(findMisses(sampleReport, true), ['1x1GiB: wall is 0.50 of a < b, more than 0.4', memory]);
});
