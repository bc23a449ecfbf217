import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openWorkerPool, type WorkerLease } from './worker-pool.ts';

const MiB = 1024 * 1024;

function receive(seat: WorkerLease | undefined, bytes: number): WorkerLease {
  assert.ok(seat !== undefined);
  seat.receives.add(() => bytes);
  return seat;
}

test('each blob goes to the worker with the fewest bytes to come, and a huge blob does not reserve a worker', async () => {
  await using seats = openWorkerPool({ stallMs: 1_000 });
  const first = receive(seats.choose(), 100_000 * MiB);
  const others = Array.from({ length: 12 }, () => receive(seats.choose(), 1_000 * MiB));
  assert.equal(new Set([first, ...others]).size, 2);
  const beside = others.filter(seat => seat === first).length;
  assert.ok(beside >= 4, `${beside} of 12 share the thread of the giant`);
});

test('an idle worker ends, one in use stays, and one that has ended is not chosen', async () => {
  await using seats = openWorkerPool({ stallMs: 1_000 });
  const [one, other] = [receive(seats.choose(), MiB), seats.choose() ?? assert.fail()];
  seats.use(one);
  seats.use(other);
  seats.release(other);
  while (seats.has(other)) await new Promise(resolve => setTimeout(resolve, 10));
  assert.ok(seats.has(one));
  await one.thread[Symbol.asyncDispose]();
  assert.ok(!seats.has(one));
  assert.notEqual(seats.choose(), one);
});

test('if a worker ends before it is ready, no other is started for a while', async () => {
  await using seats = openWorkerPool({ stallMs: 1_000 });
  const first = seats.choose() ?? assert.fail();
  await first.thread[Symbol.asyncDispose]();
  assert.equal(seats.choose(), undefined);
});

test('after disposal no worker is started', async () => {
  const seats = openWorkerPool({ stallMs: 1_000 });
  receive(seats.choose(), MiB);
  await seats[Symbol.asyncDispose]();
  assert.equal(seats.choose(), undefined);
});
