import assert from 'node:assert/strict';
import { test } from 'node:test';
import { at } from '../../../test/support/node/samples.ts';
import { withRetries } from './progress.ts';

const retry = { subject: 'r.example/a:1', reason: 'r.example answered 503', waitMs: 4_000 };

test('a pull that waits for its next try says so until that begins, and a pause of the registry goes first', () => {
  const told: (string | undefined)[] = [];
  let now = 0;
  const { report, tell } = withRetries(
    ({ phase, waits }) => told.push(`${phase}: ${waits}`),
    () => now,
  );
  tell({ ...retry, tries: { next: 2, most: 9 } });
  report(at('download', 3));
  report({ ...at('download', 3), waits: 'r.example asks to wait' });
  now = 4_000;
  report(at('download', 3));
  assert.deepEqual(told, [
    'resolve: retrying in 4 s (2 of 9): r.example answered 503',
    'download: retrying in 4 s (2 of 9): r.example answered 503',
    'download: r.example asks to wait',
    'download: undefined',
  ]);
});
