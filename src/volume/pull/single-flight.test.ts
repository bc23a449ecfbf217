import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ArtifactError } from '../../util/error.ts';
import type { Tenants } from '../../util/fair-slots.ts';
import { createFlights, type FlightCaller, type Flights } from './single-flight.ts';

const never = new AbortController().signal;

/** A wanter is gone if its name is in `gone`. */
function openFlights<Result>(
  options: {
    readonly lingerMs?: number;
    readonly checkMs?: number;
    readonly gone?: ReadonlySet<string>;
  } = {},
): Flights<Result, number, string> {
  const { lingerMs = 1000, checkMs = 5, gone = new Set() } = options;
  return createFlights({ lingerMs, checkMs, hasLeft: async who => gone.has(who) });
}

function caller(who: string, onReport: (value: number) => void = () => {}): FlightCaller<number, string> {
  return { id: who, who, tenant: `of ${who}`, onReport };
}

/** Work that ends only by its signal, and the reason of its end. */
function endless() {
  const ended = Promise.withResolvers<unknown>();
  const work = (signal: AbortSignal): Promise<never> =>
    new Promise((_, reject) => {
      signal.addEventListener('abort', () => {
        ended.resolve(signal.reason);
        reject(signal.reason);
      });
    });
  return { work, ended: ended.promise };
}

test('callers of one key share one run and its result', async () => {
  const flights = openFlights<number>();
  let runs = 0;
  const work = async (): Promise<number> => {
    await sleep(20);
    return ++runs;
  };
  const results = await Promise.all(
    Array.from({ length: 10 }, () => flights.join('k', work, caller('a'), never)),
  );
  assert.deepEqual(results, Array(10).fill(1));
  assert.equal(flights.list().length, 0);
  assert.equal(await flights.join('k', work, caller('a'), never), 2);
});

test('the work continues when its caller leaves, and a later caller joins it', async () => {
  const flights = openFlights<string>();
  const leaver = new AbortController();
  let runs = 0;
  const work = async (signal: AbortSignal): Promise<string> => {
    runs++;
    await sleep(60, undefined, { signal });
    return 'done';
  };
  const first = flights.join('k', work, caller('a'), leaver.signal);
  leaver.abort(new Error('deadline'));
  await assert.rejects(first, /deadline/);
  assert.equal(flights.list().length, 1);
  assert.equal(await flights.join('k', work, caller('a'), never), 'done');
  assert.equal(runs, 1);
});

test('abandoned work ends after its time', async () => {
  const flights = openFlights<string>({ lingerMs: 20 });
  const { work, ended } = endless();
  const leaver = new AbortController();
  const first = flights.join('k', work, caller('a'), leaver.signal);
  leaver.abort(new Error('left'));
  await assert.rejects(first, /left/);
  assert.match(String(await ended), /no caller waits/);
  await sleep(5);
  assert.deepEqual(flights.list(), []);
});

test('work ends at once when its last wanter leaves for good', async () => {
  const flights = openFlights<string>({ lingerMs: 60_000, checkMs: 60_000, gone: new Set(['a']) });
  const { work, ended } = endless();
  const leaver = new AbortController();
  const first = flights.join('k', work, caller('a'), leaver.signal);
  leaver.abort(new Error('left'));
  await assert.rejects(first, /left/);
  assert.match(String(await ended), /no caller waits/);
});

test('the work of a returning caller continues until the caller is gone', async () => {
  const gone = new Set(['command']);
  const flights = openFlights<string>({ lingerMs: 60_000, gone });
  const { work, ended } = endless();
  const leavers = [new AbortController(), new AbortController()] as const;
  const calls = [
    flights.join('k', work, caller('pod'), leavers[0].signal),
    flights.join('k', work, caller('command'), leavers[1].signal),
  ];
  for (const leaver of leavers) leaver.abort(new Error('left'));
  await Promise.allSettled(calls);
  await sleep(30);
  assert.deepEqual(
    flights.list().map(({ wanters }) => wanters),
    [['pod']],
  );
  gone.add('pod');
  assert.match(String(await ended), /no caller waits/);
});

test('a caller that returns for other work leaves its previous work', async () => {
  const flights = openFlights<string>({ lingerMs: 60_000 });
  const { work, ended } = endless();
  const leaver = new AbortController();
  const former = flights.join('old', work, caller('pod'), leaver.signal);
  leaver.abort(new Error('left'));
  await assert.rejects(former, /left/);
  assert.equal(await flights.join('new', async () => 'done', caller('pod'), never), 'done');
  assert.match(String(await ended), /no caller waits/);
});

test('a caller that is gone does not end the work of another', async () => {
  const flights = openFlights<string>({ gone: new Set(['a', 'b']) });
  const gate = Promise.withResolvers<string>();
  const leaver = new AbortController();
  const first = flights.join('k', () => gate.promise, caller('a'), leaver.signal);
  const second = flights.join('k', () => gate.promise, caller('b'), never);
  leaver.abort(new Error('left'));
  await assert.rejects(first, /left/);
  await sleep(30);
  gate.resolve('done');
  assert.equal(await second, 'done');
});

test('work in progress is listed with its last report, and can be cancelled', async () => {
  const flights = openFlights<string>();
  const { work, ended } = endless();
  const reporting = (signal: AbortSignal, report: (value: number) => void): Promise<string> => {
    report(7);
    return work(signal);
  };
  const calls = ['a', 'b'].map(who => flights.join('k', reporting, caller(who), never));
  const outcomes = Promise.allSettled(calls);
  await sleep(5);
  const [flight, ...others] = flights.list();
  assert.deepEqual([flight?.latest, flight?.wanters, others], [7, ['a', 'b'], []]);
  assert.ok(Math.abs(Date.now() - (flight?.since ?? 0)) < 5_000);
  const reason = new ArtifactError('cancelled', 'no more');
  await flight?.cancel(reason);
  assert.deepEqual(flights.list(), []);
  assert.equal(await ended, reason);
  for (const outcome of await outcomes) assert.equal(outcome.status, 'rejected');
});

test('a caller that returns in time keeps the work alive', async () => {
  const flights = openFlights<string>({ lingerMs: 40 });
  const leaver = new AbortController();
  const work = async (signal: AbortSignal): Promise<string> => {
    await sleep(120, undefined, { signal });
    return 'done';
  };
  const first = flights.join('k', work, caller('a'), leaver.signal);
  leaver.abort(new Error('gone'));
  await assert.rejects(first, /gone/);
  assert.equal(await flights.join('k', work, caller('a'), never), 'done');
});

test('a failure reaches every caller, and the next call tries again', async () => {
  const flights = openFlights<string>();
  const fail = (): Promise<string> => Promise.reject(new Error('no'));
  const outcomes = await Promise.allSettled([
    flights.join('k', fail, caller('a'), never),
    flights.join('k', fail, caller('a'), never),
  ]);
  assert.ok(outcomes.every(outcome => outcome.status === 'rejected'));
  assert.equal(await flights.join('k', async () => 'yes', caller('a'), never), 'yes');
});

test('a late caller gets the latest report', async () => {
  const flights = openFlights<string>();
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
  const first = flights.join(
    'k',
    work,
    caller('a', value => early.push(value)),
    never,
  );
  await sleep(5);
  const second = flights.join(
    'k',
    work,
    caller('b', value => late.push(value)),
    never,
  );
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

test('a flight is for all the tenants who joined it, also those who left', async () => {
  const flights = openFlights<string>();
  const gate = Promise.withResolvers<void>();
  const seen: string[] = [];
  const work = async (_: AbortSignal, __: unknown, tenants: Tenants): Promise<string> => {
    using _each = tenants.each(tenant => seen.push(tenant));
    await gate.promise;
    return 'done';
  };
  const leaver = new AbortController();
  const first = flights.join('k', work, caller('a'), leaver.signal);
  leaver.abort(new Error('left'));
  await assert.rejects(first, /left/);
  const others = ['b', 'a', 'c'].map(who => flights.join('k', work, caller(who), never));
  gate.resolve();
  await Promise.all(others);
  assert.deepEqual(seen, ['of a', 'of b', 'of c']);
});

test('stopping ends every flight, and the error says that the next call continues', async () => {
  const flights = openFlights<string>();
  const work = (signal: AbortSignal): Promise<string> => sleep(10_000, 'late', { signal });
  const waiting = flights.join('k', work, caller('a'), never);
  await sleep(5);
  const [outcome] = await Promise.all([waiting.catch((thrown: unknown) => thrown), flights.stop()]);
  assert.ok(outcome instanceof Error);
  assert.equal(flights.list().length, 0);
});

test('a caller that was away when its flight ended collects the result once, and others have it from their calls', async () => {
  const flights = openFlights<string>();
  const leaver = new AbortController();
  const { promise, resolve } = Promise.withResolvers<string>();
  const away = flights.join('k', () => promise, caller('away'), leaver.signal);
  const present = flights.join('k', () => promise, caller('present'), never);
  leaver.abort(new Error('its deadline'));
  await assert.rejects(away, /its deadline/);
  resolve('done');
  assert.equal(await present, 'done');
  assert.equal(flights.collect('k', 'present'), undefined);
  assert.equal(flights.collect('k', 'away'), 'done');
  assert.equal(flights.collect('k', 'away'), undefined);
});

test('an uncollected result is of its key alone, and is dropped when its caller starts another flight', async () => {
  const flights = openFlights<string>();
  const leaveEarly = async (): Promise<void> => {
    const leaver = new AbortController();
    const { promise, resolve } = Promise.withResolvers<string>();
    const away = flights.join('k', () => promise, caller('away'), leaver.signal);
    leaver.abort(new Error('its deadline'));
    await assert.rejects(away, /its deadline/);
    resolve('done');
    await flights.stop();
  };
  await leaveEarly();
  assert.equal(flights.collect('other', 'away'), undefined);
  await leaveEarly();
  await flights.join('other', async () => 'other', caller('away'), never);
  assert.equal(flights.collect('k', 'away'), undefined);
});
