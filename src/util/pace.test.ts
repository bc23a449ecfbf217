import assert from 'node:assert/strict';
import { test } from 'node:test';
import { doInSlices } from './pace.ts';

function* work(ms: number): Generator<void, string> {
  for (const end = performance.now() + ms; performance.now() < end; ) yield;
  return 'done';
}

test('long work leaves the event loop free, and comes to what it would at once', async () => {
  let turns = 0;
  const beat = setInterval(() => turns++, 1);
  assert.equal(await doInSlices(work(200), new AbortController().signal), 'done');
  clearInterval(beat);
  assert.ok(turns > 10, `${turns} turns`);
});

test('an abort ends it', async () => {
  const reason = new Error('enough');
  const ends = new AbortController();
  setTimeout(() => ends.abort(reason), 20);
  await assert.rejects(doInSlices(work(60_000), ends.signal), reason);
});
