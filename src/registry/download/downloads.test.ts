import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openWorkerPool } from './downloads.ts';
import type { WorkerLease } from './worker-transport.ts';

const MiB = 1024 * 1024;

function receive(lease: WorkerLease | undefined, bytes: number): WorkerLease {
  assert.ok(lease !== undefined);
  lease.receives.add(() => bytes);
  return lease;
}

test('each blob goes to the worker with the fewest bytes to come, and a huge blob does not reserve a worker', async () => {
  await using pool = openWorkerPool({ stallMs: 1_000 });
  const first = receive(pool.choose(), 100_000 * MiB);
  const others = Array.from({ length: 12 }, () => receive(pool.choose(), 1_000 * MiB));
  assert.equal(new Set([first, ...others]).size, 2);
  const beside = others.filter(lease => lease === first).length;
  assert.ok(beside >= 4, `${beside} of 12 share the thread of the giant`);
});

test('an idle worker ends, one in use stays, and one that has ended is not chosen', async () => {
  await using pool = openWorkerPool({ stallMs: 1_000 });
  const [one, other] = [receive(pool.choose(), MiB), pool.choose() ?? assert.fail()];
  pool.use(one);
  pool.use(other);
  pool.release(other);
  while (pool.has(other)) await new Promise(resolve => setTimeout(resolve, 10));
  assert.ok(pool.has(one));
  await one.thread[Symbol.asyncDispose]();
  assert.ok(!pool.has(one));
  assert.notEqual(pool.choose(), one);
});

test('if a worker ends before it is ready, no other is started for a while', async () => {
  await using pool = openWorkerPool({ stallMs: 1_000 });
  const first = pool.choose() ?? assert.fail();
  await first.thread[Symbol.asyncDispose]();
  assert.equal(pool.choose(), undefined);
});

test('after disposal no worker is started', async () => {
  const pool = openWorkerPool({ stallMs: 1_000 });
  receive(pool.choose(), MiB);
  await pool[Symbol.asyncDispose]();
  assert.equal(pool.choose(), undefined);
});
