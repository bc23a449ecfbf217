import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLeases } from './leases.ts';

test('a leased id is removed only after its lease ends', async () => {
  const leases = createLeases();
  let removed = 0;
  const removal = async (): Promise<void> => void removed++;
  {
    using _one = await leases.hold(['a', 'a']);
    using _two = await leases.hold(['a', 'b']);
    assert.equal(await leases.remove('a', removal), false);
  }
  assert.equal(await leases.remove('a', removal), true);
  assert.equal(removed, 1);
});

test('a hold waits until a removal under way has ended', async () => {
  const leases = createLeases();
  const gate = Promise.withResolvers<void>();
  const order: string[] = [];
  const removal = leases.remove('a', async () => {
    await gate.promise;
    order.push('removed');
  });
  const hold = leases.hold(['a']).then(() => order.push('held'));
  gate.resolve();
  await Promise.all([removal, hold]);
  assert.deepEqual(order, ['removed', 'held']);
});

test('a removal that fails lets the waiting hold through', async () => {
  const leases = createLeases();
  const removal = leases.remove('a', () => Promise.reject(new Error('disk')));
  using _hold = await leases.hold(['a']);
  await assert.rejects(removal, /disk/);
  assert.equal(await leases.remove('a', async () => undefined), false);
});

test('two removals of one thing do not run at once', async () => {
  const leases = createLeases();
  const gate = Promise.withResolvers<void>();
  const first = leases.remove('a', () => gate.promise);
  assert.equal(await leases.remove('a', async () => undefined), false);
  gate.resolve();
  assert.equal(await first, true);
});

test('a watch sees leases from before its start and since, including ended ones', async () => {
  const leases = createLeases();
  const before = await leases.hold(['before']);
  (await leases.hold(['long ago']))[Symbol.dispose]();
  using watch = leases.watch();
  before[Symbol.dispose]();
  (await leases.hold(['since']))[Symbol.dispose]();
  assert.deepEqual(
    ['before', 'since', 'long ago', 'never'].map(id => watch.saw(id)),
    [true, true, false, false],
  );
});
