import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openFakeClock } from '../../../test/support/registry/registry-client.ts';
import { ArtifactError } from '../../util/error.ts';
import { formatTime, Paused } from '../../util/pause.ts';
import { toUpstream, type Upstream } from '../config/route.ts';
import { StalledError, TransientError, UnreachableError } from '../http/retry.ts';
import { openOriginWindows } from './origin-window.ts';

const mirrorAt = (path: string, over: Partial<Upstream> = {}): Upstream => ({
  ...toUpstream({ host: 'm.example', path, insecure: false }),
  mirrorOf: 'r.example',
  waitMs: 60_000,
  ...over,
});
const missing = new ArtifactError('not-found', 'it is not here');

test('a registry is withheld once for a repository of a mirror, whatever it lacks later, and again when that is long ago', () => {
  const clock = openFakeClock();
  const windows = openOriginWindows(clock);
  const mirror = mirrorAt('a');
  const until = clock.now() + 63_000;
  const pause = {
    until,
    reason: `mirror m.example has it not yet; r.example is asked from ${formatTime(until)} on`,
  };
  assert.deepEqual(windows.after(mirror, missing), pause);
  clock.advance(50_000);
  assert.deepEqual(windows.after(mirror, missing), pause);
  assert.equal(windows.after(mirrorAt('b'), missing)?.until, until + 50_000);
  assert.match(
    windows.problems().join('\n'),
    /^r\.example is not asked before \S+Z for blobs of m\.example\/a /,
  );
  clock.advance(13_000);
  for (let hours = 0; hours < 12; hours += 0.1) {
    assert.equal(windows.after(mirror, missing), undefined);
    clock.advance(360_000);
  }
  assert.deepEqual(windows.problems(), []);
  clock.advance(600_000);
  assert.equal(windows.after(mirror, missing)?.until, clock.now() + 63_000);
});

test('a clock that is set back opens a window of its own time', () => {
  const clock = openFakeClock();
  const windows = openOriginWindows(clock);
  windows.after(mirrorAt('a'), missing);
  clock.advance(-7_200_000);
  assert.deepEqual(windows.problems(), []);
  assert.equal(windows.after(mirrorAt('a'), missing)?.until, clock.now() + 63_000);
});

test('a mirror that is silent for longer than its wait does not withhold the registry again each time', () => {
  const clock = openFakeClock();
  const windows = openOriginWindows(clock);
  const mirror = mirrorAt('a', { responseMs: 3_600_000, waitMs: 1_000 });
  const silent = new StalledError('unavailable', 'm.example stopped sending');
  clock.advance(3_600_000);
  assert.notEqual(windows.after(mirror, silent), undefined);
  clock.advance(3_605_000);
  assert.equal(windows.after(mirror, silent), undefined);
});

const { after } = openOriginWindows(openFakeClock());
const paused = new Paused({ until: 1, reason: 'm.example asks to wait' }, 'later');
for (const [what, failure, withholds] of [
  ['has it not', missing, true],
  [
    'is silent',
    new TransientError('unavailable', '0 B came', new StalledError('unavailable', 'silent')),
    true,
  ],
  ['asks to wait', paused, true],
  ['asks to wait a little', new TransientError('unavailable', 'busy', paused, 100), true],
  ['cannot be reached', new UnreachableError('unavailable', 'refused'), false],
  ['fails', new TransientError('unavailable', 'm.example answered 502'), false],
  ['sends wrong bytes', new ArtifactError('corrupt', 'wrong'), false],
  ['refuses', new ArtifactError('denied', 'no'), false],
  ['wants a credential', new ArtifactError('unauthenticated', 'who'), false],
] as const) {
  test(`a mirror that ${what} ${withholds ? 'withholds' : 'does not withhold'} the registry, if it has a wait`, () => {
    assert.equal(after(mirrorAt(what), failure) !== undefined, withholds);
    const { waitMs: _, ...without } = mirrorAt(`other ${what}`);
    assert.equal(after(without, failure), undefined);
    const { mirrorOf: __, ...registry } = mirrorAt(`registry ${what}`);
    assert.equal(after(registry, failure), undefined);
  });
}
