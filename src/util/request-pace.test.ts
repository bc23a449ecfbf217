import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { createRequestPace } from './request-pace.ts';

const never = new AbortController().signal;

test('requests have turns in their order: a few at once, and then one for each interval', async t => {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const pace = createRequestPace({ everyMs: 5_000, burst: 3, startMs: 2_500 }, () => Date.now());
  const times: number[] = [];
  for (let request = 0; request < 6; request++) void pace.turn(never).then(() => times.push(Date.now()));
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 500) {
      t.mock.timers.tick(500);
      await turn();
    }
  };
  await pass(30_000);
  assert.deepEqual(times, [2_500, 2_500, 2_500, 7_500, 12_500, 17_500]);
  await pass(60_000);
  for (let request = 0; request < 4; request++) void pace.turn(never).then(() => times.push(Date.now()));
  await pass(10_000);
  assert.deepEqual(
    times.slice(6),
    [90_000, 90_000, 90_000, 95_000].map((at, index) => (index < 3 ? times[6] : at)),
  );
});

test('a turn that has come waits for no negative time, of which Node.js warns', async t => {
  const waits: unknown[] = [];
  const setTimeout = globalThis.setTimeout;
  t.mock.method(globalThis, 'setTimeout', (then: () => void, ms: number) => {
    waits.push(ms);
    return setTimeout(then, ms);
  });
  let at = 0;
  const pace = createRequestPace({ everyMs: 5_000, burst: 2 }, () => at++);
  await pace.turn(never);
  assert.deepEqual(waits, [0]);
});

test('requests that do not wait take the time of those that do', () => {
  const clock = { at: 0 };
  const pace = createRequestPace({ everyMs: 5_000, burst: 2 }, () => clock.at);
  pace.count();
  assert.equal(pace.isFree(), true);
  pace.count();
  pace.count();
  clock.at = 9_999;
  assert.equal(pace.isFree(), false);
  clock.at = 10_000;
  assert.equal(pace.isFree(), true);
});

test('requests that do not wait delay those that do for no longer than twice as many as may begin at once', () => {
  const clock = { at: 0 };
  const pace = createRequestPace({ everyMs: 5_000, burst: 2 }, () => clock.at);
  for (let count = 0; count < 100; count++) pace.count();
  clock.at = 14_999;
  assert.equal(pace.isFree(), false);
  clock.at = 15_000;
  assert.equal(pace.isFree(), true);
});

test('requests that do not wait take nothing from those that have their turn already', async () => {
  const clock = { at: 0 };
  const pace = createRequestPace({ everyMs: 5_000, burst: 2 }, () => clock.at);
  const ending = new AbortController();
  const turns = Array.from({ length: 10 }, () => pace.turn(ending.signal));
  pace.count();
  clock.at = 44_999;
  assert.equal(pace.isFree(), false);
  ending.abort(new Error('over'));
  await Promise.allSettled(turns);
});

test('a request that is no longer wanted does not wait for its turn', async () => {
  const pace = createRequestPace({ everyMs: 60_000, burst: 1, startMs: 60_000 });
  const ending = new AbortController();
  const waiting = pace.turn(ending.signal);
  ending.abort(new Error('the daemon stops'));
  await assert.rejects(waiting, { message: 'the daemon stops' });
});
