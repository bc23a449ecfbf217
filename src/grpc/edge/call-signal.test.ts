import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { mock, test } from 'node:test';
import { DeadlineNear } from '../../util/deadline-near.ts';
import { ArtifactError } from '../../util/error.ts';
import { explain, openCallSignal, workingTime } from './call-signal.ts';

class FakeCaller extends EventEmitter {
  cancelled = false;
  readonly deadline: number;
  constructor(deadline: number) {
    super();
    this.deadline = deadline;
  }
  getDeadline(): number {
    return this.deadline;
  }
}

test('work ends ten seconds before a deadline, or at three quarters of one nearer than 40 s', () => {
  assert.equal(workingTime(120_000), 110_000);
  assert.equal(workingTime(40_000), 30_000);
  assert.equal(workingTime(39_999), 29_999.25);
  assert.equal(workingTime(1000), 750);
  assert.equal(workingTime(Number.POSITIVE_INFINITY), Number.POSITIVE_INFINITY);
});

test("kubelet's two minutes leave 110 seconds", () => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_000_000 });
  try {
    using call = openCallSignal(new FakeCaller(1_000_000 + 120_000));
    mock.timers.tick(109_999);
    assert.equal(call.signal.aborted, false);
    mock.timers.tick(1);
    assert.ok(call.signal.reason instanceof DeadlineNear);
  } finally {
    mock.timers.reset();
  }
});

test('a call without a deadline, or with one that no timer can wait for, is not aborted', async () => {
  using none = openCallSignal(new FakeCaller(Number.POSITIVE_INFINITY));
  using far = openCallSignal(new FakeCaller(Date.now() + 2 ** 33));
  await new Promise(resolve => setTimeout(resolve, 20));
  assert.deepEqual([none.signal.aborted, far.signal.aborted], [false, false]);
});

test('a caller who leaves aborts, also one who has left before, but not after the work is done', () => {
  const caller = new FakeCaller(Number.POSITIVE_INFINITY);
  using call = openCallSignal(caller);
  caller.emit('cancelled');
  assert.equal(call.signal.reason.name, 'AbortError');

  const gone = new FakeCaller(Number.POSITIVE_INFINITY);
  gone.cancelled = true;
  using late = openCallSignal(gone);
  assert.equal(late.signal.aborted, true);

  const served = new FakeCaller(Number.POSITIVE_INFINITY);
  const done = openCallSignal(served);
  done[Symbol.dispose]();
  served.emit('cancelled');
  assert.equal(done.signal.aborted, false);
});

test('the reason of the signal is the error, unless the work failed by itself', () => {
  const stopping = new ArtifactError('unavailable', 'the daemon is stopping');
  const near = new DeadlineNear('near');
  const cancelled = new ArtifactError('cancelled', 'x');
  const busy = new ArtifactError('busy', 'pulled 1 of 2 GiB');
  const abort = new DOMException('x', 'AbortError');
  const rows: readonly (readonly [unknown, unknown, string])[] = [
    [cancelled, stopping, 'the daemon is stopping'],
    [stopping, stopping, 'the daemon is stopping'],
    [abort, stopping, 'the daemon is stopping'],
    [busy, near, 'pulled 1 of 2 GiB'],
    [near, near, 'the deadline of the call is near and the work is not done; call again'],
    [abort, near, 'the deadline of the call is near and the work is not done; call again'],
    [abort, abort, 'the caller went away'],
    [new Error('EIO'), abort, 'EIO'],
    [new Error('EIO'), stopping, 'EIO'],
  ];
  for (const [thrown, reason, message] of rows) {
    assert.equal(explain(thrown, AbortSignal.abort(reason)).message, message);
  }
  assert.equal(explain(busy, new AbortController().signal), busy);
});
