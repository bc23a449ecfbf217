import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createKeyedMutex, createKeyedSemaphore, createSemaphore } from './mutex.ts';

const never = new AbortController().signal;

test('a lock is granted in the order of requests', async () => {
  const mutex = createKeyedMutex();
  const order: number[] = [];
  const first = await mutex.lock('k', never);
  const others = [1, 2, 3].map(async number => {
    using _lock = await mutex.lock('k', never);
    order.push(number);
  });
  assert.equal(mutex.tryLock('k'), undefined);
  first[Symbol.dispose]();
  await Promise.all(others);
  assert.deepEqual(order, [1, 2, 3]);
  assert.notEqual(mutex.tryLock('k'), undefined);
});

test('keys are independent', async () => {
  const mutex = createKeyedMutex();
  using _a = await mutex.lock('a', never);
  using b = mutex.tryLock('b');
  assert.notEqual(b, undefined);
});

test('a caller that aborts its wait does not get the lock', async () => {
  const mutex = createKeyedMutex();
  const leaver = new AbortController();
  const first = await mutex.lock('k', never);
  const left = mutex.lock('k', leaver.signal);
  const stays = mutex.lock('k', never);
  leaver.abort(new Error('gone'));
  await assert.rejects(left, /gone/);
  first[Symbol.dispose]();
  (await stays)[Symbol.dispose]();
  assert.notEqual(mutex.tryLock('k'), undefined);
});

test('releasing twice frees one', async () => {
  const mutex = createKeyedMutex();
  const first = await mutex.lock('k', never);
  const second = mutex.lock('k', never);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  await second;
  assert.equal(mutex.tryLock('k'), undefined);
});

test('a semaphore admits as many callers as it has slots', async () => {
  const semaphore = createSemaphore(3);
  let inside = 0;
  let most = 0;
  await Promise.all(
    Array.from({ length: 20 }, async () => {
      using _slot = await semaphore.acquire(never);
      most = Math.max(most, ++inside);
      await new Promise(resolve => setImmediate(resolve));
      inside--;
    }),
  );
  assert.equal(most, 3);
});

test('an aborted wait for a slot loses none', async () => {
  const semaphore = createSemaphore(1);
  const slot = await semaphore.acquire(never);
  const leaver = new AbortController();
  const left = semaphore.acquire(leaver.signal);
  leaver.abort(new Error('gone'));
  await assert.rejects(left, /gone/);
  slot[Symbol.dispose]();
  using _next = await semaphore.acquire(AbortSignal.timeout(1000));
});

test('the slots of one key do not count for another, and aborted callers take none', async () => {
  const semaphore = createKeyedSemaphore(1);
  const leaver = new AbortController();
  const first = await semaphore.acquire('a', never);
  using _other = await semaphore.acquire('b', never);
  const left = semaphore.acquire('a', leaver.signal);
  const next = semaphore.acquire('a', never);
  leaver.abort(new Error('gone'));
  await assert.rejects(left, /gone/);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  using _second = await next;
  await assert.rejects(semaphore.acquire('a', AbortSignal.timeout(20)), { name: 'TimeoutError' });
});
