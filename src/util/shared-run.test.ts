import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shareRuns } from './shared-run.ts';

/** A run that ends on request. */
function controlled(): { readonly run: () => Promise<void>; readonly ends: ((failure?: Error) => void)[] } {
  const ends: ((failure?: Error) => void)[] = [];
  const run = (): Promise<void> =>
    new Promise((resolve, reject) =>
      ends.push(failure => (failure === undefined ? resolve() : reject(failure))),
    );
  return { run, ends };
}

test('concurrent callers share one run, and none shares a run that started before its call', async () => {
  const { run, ends } = controlled();
  const join = shareRuns(run);
  const first = join();
  let lateDone = false;
  const late = Promise.all([join(), join(), join()]).then(() => (lateDone = true));
  assert.equal(ends.length, 1);
  ends[0]?.();
  await first;
  while (ends.length < 2) await Promise.resolve();
  assert.equal(lateDone, false);
  ends[1]?.();
  await late;
  assert.equal(ends.length, 2);
});

test('a failure reaches the callers that shared the run, and not those that wait for the next', async () => {
  const { run, ends } = controlled();
  const join = shareRuns(run);
  const first = join();
  const second = join();
  ends[0]?.(new Error('EIO'));
  await assert.rejects(first, /EIO/);
  while (ends.length < 2) await Promise.resolve();
  ends[1]?.();
  await second;
});
