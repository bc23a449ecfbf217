import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLeases } from './leases.ts';

test('a leased id is removed only after its lease ends', async () => {
  const holds = createLeases();
  let removed = 0;
  const removal = async (): Promise<void> => void removed++;
  {
    using _one = await holds.hold(['a', 'a']);
    using _two = await holds.hold(['a', 'b']);
    assert.equal(await holds.remove('a', removal), false);
  }
  assert.equal(await holds.remove('a', removal), true);
  assert.equal(removed, 1);
});

test('a hold waits until a removal under way has ended', async () => {
  const holds = createLeases();
  const gate = Promise.withResolvers<void>();
  const order: string[] = [];
  const removal = holds.remove('a', async () => {
    await gate.promise;
    order.push('removed');
  });
  const hold = holds.hold(['a']).then(() => order.push('held'));
  gate.resolve();
  await Promise.all([removal, hold]);
  assert.deepEqual(order, ['removed', 'held']);
});

test('a removal that fails lets the waiting hold through', async () => {
  const holds = createLeases();
  const removal = holds.remove('a', () => Promise.reject(new Error('disk')));
  using _hold = await holds.hold(['a']);
  await assert.rejects(removal, /disk/);
  assert.equal(await holds.remove('a', async () => undefined), false);
});

test('two removals of one thing do not run at once', async () => {
  const holds = createLeases();
  const gate = Promise.withResolvers<void>();
  const first = holds.remove('a', () => gate.promise);
  assert.equal(await holds.remove('a', async () => undefined), false);
  gate.resolve();
  assert.equal(await first, true);
});

test('a watch sees leases from before its start and since, including ended ones', async () => {
  const holds = createLeases();
  const before = await holds.hold(['before']);
  (await holds.hold(['long ago']))[Symbol.dispose]();
  using watch = holds.watch();
  before[Symbol.dispose]();
  (await holds.hold(['since']))[Symbol.dispose]();
  assert.deepEqual(
    ['before', 'since', 'long ago', 'never'].map(id => watch.saw(id)),
    [true, true, false, false],
  );
});
