import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createFlights } from './flight.ts';

const never = new AbortController().signal;
const ignore = (): void => undefined;

test('callers of one key share one run and its result', async () => {
  const flights = createFlights<number, string>(1000);
  let runs = 0;
  const work = async (): Promise<number> => {
    await sleep(20);
    return ++runs;
  };
  const results = await Promise.all(Array.from({ length: 10 }, () => flights.join('k', work, ignore, never)));
  assert.deepEqual(results, Array(10).fill(1));
  assert.equal(flights.count(), 0);
  assert.equal(await flights.join('k', work, ignore, never), 2);
});

test('the work goes on when its caller leaves, and a later caller joins it', async () => {
  const flights = createFlights<string, number>(1000);
  const caller = new AbortController();
  let runs = 0;
  const work = async (signal: AbortSignal): Promise<string> => {
    runs++;
    await sleep(60, undefined, { signal });
    return 'done';
  };
  const first = flights.join('k', work, ignore, caller.signal);
  caller.abort(new Error('deadline'));
  await assert.rejects(first, /deadline/);
  assert.equal(flights.count(), 1);
  assert.equal(await flights.join('k', work, ignore, never), 'done');
  assert.equal(runs, 1);
});

test('work that nobody waits for ends after its time', async () => {
  const flights = createFlights<string, number>(20);
  const caller = new AbortController();
  let ended: unknown;
  const work = (signal: AbortSignal): Promise<string> =>
    new Promise((_, reject) => {
      signal.addEventListener('abort', () => {
        ended = signal.reason;
        reject(signal.reason);
      });
    });
  const first = flights.join('k', work, ignore, caller.signal);
  caller.abort(new Error('gone'));
  await assert.rejects(first, /gone/);
  const deadline = Date.now() + 2000;
  while (flights.count() > 0 && Date.now() < deadline) await sleep(5);
  assert.match(String(ended), /nobody waits/);
});

test('who comes back in time keeps the work alive', async () => {
  const flights = createFlights<string, number>(40);
  const caller = new AbortController();
  const work = async (signal: AbortSignal): Promise<string> => {
    await sleep(120, undefined, { signal });
    return 'done';
  };
  const first = flights.join('k', work, ignore, caller.signal);
  caller.abort(new Error('gone'));
  await assert.rejects(first, /gone/);
  assert.equal(await flights.join('k', work, ignore, never), 'done');
});

test('a failure reaches every caller, and the next call tries again', async () => {
  const flights = createFlights<string, number>(1000);
  const fail = (): Promise<string> => Promise.reject(new Error('no'));
  const outcomes = await Promise.allSettled([
    flights.join('k', fail, ignore, never),
    flights.join('k', fail, ignore, never),
  ]);
  assert.ok(outcomes.every(outcome => outcome.status === 'rejected'));
  assert.equal(await flights.join('k', async () => 'yes', ignore, never), 'yes');
});

test('a late caller is told how far the work is', async () => {
  const flights = createFlights<string, number>(1000);
  const gate = Promise.withResolvers<void>();
  const work = async (_signal: AbortSignal, report: (value: number) => void): Promise<string> => {
    report(1);
    report(2);
    await gate.promise;
    report(3);
    return 'done';
  };
  const early: number[] = [];
  const late: number[] = [];
  const first = flights.join('k', work, value => early.push(value), never);
  await sleep(5);
  const second = flights.join('k', work, value => late.push(value), never);
  gate.resolve();
  await Promise.all([first, second]);
  assert.deepEqual(
    [early, late],
    [
      [1, 2, 3],
      [2, 3],
    ],
  );
});

test('stopping ends every flight with a text that says it goes on', async () => {
  const flights = createFlights<string, number>(1000);
  const work = (signal: AbortSignal): Promise<string> => sleep(10_000, 'late', { signal });
  const waiting = flights.join('k', work, ignore, never);
  await sleep(5);
  const [outcome] = await Promise.all([waiting.catch((thrown: unknown) => thrown), flights.stop()]);
  assert.ok(outcome instanceof Error);
  assert.equal(flights.count(), 0);
});
