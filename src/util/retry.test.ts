import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatRetry } from './retry.ts';

test('a retry reports its time, its number of how many, and the reason', () => {
  const retry = { subject: 'r.example/a:1', reason: 'r.example answered 503' };
  const tries = { next: 2, most: 9 };
  for (const [waitMs, shown] of [
    [180, '0.2 s'],
    [949, '0.9 s'],
    [999, '1 s'],
    [4_400, '4 s'],
  ] as const) {
    assert.equal(
      formatRetry({ ...retry, waitMs, tries }),
      `retrying in ${shown} (2 of 9): r.example answered 503`,
    );
  }
  assert.equal(formatRetry({ ...retry, waitMs: 9e5 }), 'retrying in 900 s: r.example answered 503');
});
