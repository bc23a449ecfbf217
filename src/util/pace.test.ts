import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { costOf, longestTurn } from '../../test/support/node/cost.ts';
import { doInSlices, takeInSlices } from './pace.ts';

function* work(ms: number): Generator<void, string> {
  for (const end = performance.now() + ms; performance.now() < end; ) yield;
  return 'done';
}

test('long work leaves the event loop free, and has the same result', async () => {
  let turns = 0;
  using beat = setInterval(() => turns++, 1);
  assert.equal(await doInSlices(work(200), new AbortController().signal), 'done');
  beat.close();
  assert.ok(turns > 3, `${turns} turns`);
});

test('concurrent long work takes turns, and blocks the event loop no longer than one', async () => {
  const begun = performance.now();
  const ends: number[] = [];
  const each = async (): Promise<void> => {
    await doInSlices(work(50), new AbortController().signal);
    ends.push(performance.now() - begun);
  };
  const { turn } = await costOf(() => Promise.all(Array.from({ length: 60 }, each)));
  assert.ok(turn < longestTurn, `${turn} ms`);
  assert.ok(Math.max(...ends) < 3 * Math.min(...ends), ends.join());
});

test('an abort ends it', async () => {
  const reason = new Error('enough');
  const ends = new AbortController();
  setTimeout(() => ends.abort(reason), 20);
  await assert.rejects(doInSlices(work(60_000), ends.signal), reason);
});

test('items that come at once are taken up in order, each once, and the event loop is free meanwhile', async () => {
  const all = Array.from({ length: 200 }, (_, number) => number);
  const taken: number[] = [];
  let turns = 0;
  using beat = setInterval(() => turns++, 1);
  const put = takeInSlices((number: number) => {
    for (const end = performance.now() + 1; performance.now() < end; );
    taken.push(number);
  });
  for (const number of all) put(number);
  while (taken.length < all.length) await new Promise(setImmediate);
  await sleep(20); // the pace may rest after the last one
  beat.close();
  assert.deepEqual(taken, all);
  assert.ok(turns > 3, `${turns} turns`);
  put(200);
  assert.equal(taken.at(-1), 200, 'one that comes alone does not wait');
});
