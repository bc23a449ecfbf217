import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ArtifactError } from '../../util/error.ts';
import { findPause, Paused } from '../../util/pause.ts';
import { type Clock, openRetryPolicy, retry, TransientError, UnreachableError } from './retry.ts';

/** A clock that only sleeping advances. */
function fakeClock(random = 0.5): Clock & { readonly waits: number[] } {
  const waits: number[] = [];
  let now = 1_000_000;
  return {
    waits,
    now: () => now,
    elapsed: () => now,
    random: () => random,
    async sleep(ms) {
      waits.push(ms);
      now += ms;
    },
  };
}

const { signal } = new AbortController();
const busy = (afterMs = 0) => new TransientError('unavailable', 'reg answered 503', undefined, afterMs);

test('waits double from 0.2 s and end after 30 s with the failure, its subject and the number of attempts', async () => {
  const clock = fakeClock();
  const failing = retry(
    () => Promise.reject(busy()),
    openRetryPolicy('reg/a:v1', clock, () => {}),
    signal,
  );
  await assert.rejects(failing, {
    code: 'unavailable',
    message:
      'reg/a:v1: reg answered 503; gave up after 9 tries in 30 s; check the host and the network path to it',
  });
  assert.deepEqual(clock.waits, [200, 400, 800, 1600, 3200, 6400, 12_800, 4600]);
});

test('each wait reports the number of the next attempt and the total', async () => {
  const told: (object | undefined)[] = [];
  const policy = openRetryPolicy('x', fakeClock(), ({ tries }) => told.push(tries));
  await retry(() => Promise.reject(busy()), policy, signal).catch(() => {});
  assert.deepEqual(
    told,
    [2, 3, 4, 5, 6, 7, 8, 9].map(next => ({ next, most: 9 })),
  );
});

test('for a command, an unreachable host is tried twice, and one that answers as often as ever', async () => {
  for (const [failure, tries] of [
    [new UnreachableError('unavailable', 'reg cannot be reached'), 2],
    [
      new TransientError('unavailable', '3 of 9 bytes came', new UnreachableError('unavailable', 'refused')),
      2,
    ],
    [busy(), 9],
  ] as const) {
    const told: (object | undefined)[] = [];
    const policy = openRetryPolicy('reg/a:v1', fakeClock(), retry => told.push(retry.tries), { hasty: true });
    const failing = retry(() => Promise.reject(failure), policy, signal);
    await assert.rejects(failing, { message: new RegExp(`gave up after ${tries} tries`) });
    assert.deepEqual(told[0], { next: 2, most: tries });
  }
  const daemon = openRetryPolicy('reg/a:v1', fakeClock(), () => {});
  const refused = () => Promise.reject(new UnreachableError('unavailable', 'reg cannot be reached'));
  await assert.rejects(retry(refused, daemon, signal), /gave up after 9 tries in 30 s/);
});

test('jitter is half to one and a half of the wait', async () => {
  for (const [random, first] of [
    [0, 100],
    [0.999, 299.8],
  ] as const) {
    const clock = fakeClock(random);
    await openRetryPolicy('x', clock, () => {}).wait(busy(), signal);
    assert.equal(clock.waits[0], first);
  }
});

test('a server may ask for a longer wait, but not beyond the time limit', async () => {
  const clock = fakeClock();
  const policy = openRetryPolicy('x', clock, () => {});
  await policy.wait(busy(5000), signal);
  await policy.wait(busy(3_600_000), signal);
  assert.deepEqual(clock.waits, [5000, 25_000]);
});

test('a server that asks for a longer wait than is left is waited for elsewhere', async () => {
  const clock = fakeClock();
  const pause = { until: clock.now() + 35_000, reason: 'reg asks to wait' };
  const asking = (afterMs: number) =>
    new TransientError('unavailable', 'reg answered 503', new Paused(pause, 'later'), afterMs);
  const policy = openRetryPolicy('reg/a:v1', clock, () => {});
  for (let second = 0; second < 30; second += 5) await policy.wait(asking(5000), signal);
  await assert.rejects(policy.wait(asking(1), signal), (thrown: unknown) => {
    assert.ok(thrown instanceof Paused);
    assert.deepEqual([findPause(thrown), thrown.message], [pause, 'reg/a:v1: reg answered 503']);
    return true;
  });
  assert.deepEqual(clock.waits, Array(6).fill(5000));
  const second = openRetryPolicy('reg/a:v1', clock, () => {});
  await second.wait(asking(5000), signal);
  await assert.rejects(second.wait(asking(26_000), signal), Paused);
});

test('three attempts are made however long they take', async () => {
  const clock = fakeClock();
  let tries = 0;
  const slow = retry(
    async () => {
      tries += 1;
      await clock.sleep(60_000, signal);
      throw busy();
    },
    openRetryPolicy('x', clock, () => {}),
    signal,
  );
  await assert.rejects(slow, /gave up after 3 tries in 180 s/);
  assert.equal(tries, 3);
});

test('a permanent error is thrown at once', async () => {
  const clock = fakeClock();
  const failing = retry(
    () => Promise.reject(new ArtifactError('denied', 'no')),
    openRetryPolicy('x', clock, () => {}),
    signal,
  );
  await assert.rejects(failing, { code: 'denied', message: 'no' });
  assert.deepEqual(clock.waits, []);
});

test('a clock that is set back makes the attempts last no longer', async () => {
  const clock = fakeClock();
  let set = clock.now();
  const setBack = { ...clock, now: () => (set -= 3_600_000) };
  const failing = retry(
    () => Promise.reject(busy()),
    openRetryPolicy('reg/a:v1', setBack, () => {}),
    signal,
  );
  await assert.rejects(failing, /gave up after 9 tries in 30 s/);
});

const gainOf = (bytes: number, ms: number, sentMs = ms) => ({
  bytes,
  received: bytes,
  ms,
  sentMs,
  host: 'reg',
  isHeld: false,
});

test('an attempt that brings 64 KiB, or takes two seconds, is followed by another at once', async () => {
  for (const gain of [gainOf(64 * 1024, 0), gainOf(1, 2_000)]) {
    const clock = fakeClock();
    const policy = openRetryPolicy('x', clock, () => {});
    for (let cuts = 0; cuts < 1_000; cuts++) await policy.renew(busy(), gain, signal);
    assert.deepEqual(clock.waits, []);
  }
});

test('attempts that bring next to nothing are waited for after eight of them, and end after 30 s', async () => {
  const clock = fakeClock();
  const policy = openRetryPolicy('reg/a:v1', clock, () => {});
  let cuts = 0;
  const dribble = async (): Promise<void> => {
    for (; ; cuts++) await policy.renew(busy(), gainOf(1, 5), signal);
  };
  await assert.rejects(dribble(), {
    code: 'unavailable',
    message:
      'reg/a:v1: reg answered 503; gave up after 9 tries in 30 s; check the host and the network path to it',
  });
  assert.equal(cuts, 16);
  assert.deepEqual(clock.waits, [200, 400, 800, 1600, 3200, 6400, 12_800, 4600]);
});

test('one attempt that brings much makes up for eight that do not', async () => {
  const clock = fakeClock();
  const policy = openRetryPolicy('x', clock, () => {});
  for (let round = 0; round < 100; round++) {
    for (let cuts = 0; cuts < 8; cuts++) await policy.renew(busy(), gainOf(1, 5), signal);
    await policy.renew(busy(), gainOf(64 * 1024, 5), signal);
  }
  assert.deepEqual(clock.waits, []);
});

test('a server that ends each response before its rate is measured is too slow all the same', async () => {
  const leastRate = { bytesPerSecond: 16 * 1024, overMs: 60_000 };
  const openPolicy = () => openRetryPolicy('x', fakeClock(), () => {}, { leastRate });
  const slow = openPolicy();
  for (let cuts = 0; cuts < 5; cuts++) await slow.renew(busy(), gainOf(10_000, 10_000), signal);
  await assert.rejects(slow.renew(busy(), gainOf(10_000, 10_000), signal), {
    code: 'unavailable',
    message:
      'reg sent 58.6 KiB in 60 s, which is less than the 16.0 KiB/s of --min-download-rate; the download was ended, and goes on from there when it is asked for again',
  });
  const [enough, held, again] = [openPolicy(), openPolicy(), openPolicy()];
  for (let cuts = 0; cuts < 100; cuts++) {
    await enough.renew(busy(), gainOf(164_000, 10_000), signal);
    await held.renew(busy(), { ...gainOf(1, 10_000), isHeld: true }, signal);
    await again.renew(busy(), { ...gainOf(1, 10_000), received: 164_000 }, signal);
  }
});

test('the time before the head of a response does not count for the rate, unless next to nothing follows', async () => {
  const leastRate = { bytesPerSecond: 16 * 1024, overMs: 60_000 };
  const openPolicy = () => openRetryPolicy('x', fakeClock(), () => {}, { leastRate });
  const [late, scant] = [openPolicy(), openPolicy()];
  for (let cuts = 0; cuts < 100; cuts++) await late.renew(busy(), gainOf(164_000, 30_000, 10_000), signal);
  await scant.renew(busy(), gainOf(60_000, 30_000, 1), signal);
  await assert.rejects(scant.renew(busy(), gainOf(60_000, 30_000, 1), signal), /^\S+ reg sent .* in 60 s/);
});
