import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ArtifactError } from './error.ts';
import { findPause, formatTime, Paused, throughPauses } from './pause.ts';

const never = new AbortController().signal;
const pausedUntil = (until: number) => new Paused({ reason: 'r.example asks', until }, 'wait');

test('paused work is repeated at the time, and each wait and its end are reported', async () => {
  const times: number[] = [];
  const told: unknown[] = [];
  const until = Date.now() + 60;
  const work = async (): Promise<string> => {
    times.push(Date.now());
    if (Date.now() < until) throw new ArtifactError('denied', 'said otherwise', pausedUntil(until));
    return 'done';
  };
  assert.equal(await throughPauses(work, pause => told.push(pause), never), 'done');
  assert.ok(times.length <= 3, 'it is not asked all the time');
  assert.deepEqual(told[0], { reason: 'r.example asks', until });
  assert.equal(told.at(-1), undefined);
});

test('work is retried every 5 s during a long pause, because mirrors may have it now', async t => {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const until = Date.now() + 600_000;
  const times: number[] = [];
  const work = async (): Promise<string> => {
    times.push(Date.now());
    if (times.length < 4) throw pausedUntil(until);
    return 'by a mirror';
  };
  const working = throughPauses(work, () => {}, never);
  for (let step = 0; step < 3; step++) {
    await new Promise(setImmediate);
    t.mock.timers.tick(5_000);
  }
  assert.equal(await working, 'by a mirror');
  assert.deepEqual(times, [0, 5_000, 10_000, 15_000]);
});

test('an error that is not a pause is thrown at once', async () => {
  const failure = new ArtifactError('unavailable', 'no');
  await assert.rejects(
    throughPauses(
      () => Promise.reject(failure),
      () => {},
      never,
    ),
    failure,
  );
  assert.equal(findPause(failure), undefined);
});

test('an abort during a pause takes effect at once', async () => {
  const leaving = AbortSignal.timeout(20);
  const work = () => Promise.reject(pausedUntil(Date.now() + 600_000));
  const start = Date.now();
  await assert.rejects(
    throughPauses(work, () => {}, leaving),
    Paused,
  );
  assert.ok(Date.now() - start < 5_000);
});

test('times are formatted as in RFC 3339', () => {
  assert.equal(formatTime(Date.UTC(2026, 4, 1, 12, 34, 55, 1)), '2026-05-01T12:34:56Z');
  assert.equal(formatTime(Date.UTC(2026, 4, 1, 12, 34, 56)), '2026-05-01T12:34:56Z');
});
