import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { createFairSlots } from './fair-slots.ts';
import { openTenants } from './tenants.ts';

const never = new AbortController().signal;

/** Whether a slot is available at once. */
async function isServed(slot: Promise<Disposable>): Promise<boolean> {
  return await Promise.race([slot.then(() => true), turn(false)]);
}

test('a disposal gives its slot to the next waiting caller, once', async () => {
  const slots = createFairSlots({ total: 2, perTenant: 1 });
  const first = await slots.acquire('x', openTenants('a'), never);
  const second = slots.acquire('x', openTenants('a'), never);
  const third = slots.acquire('x', openTenants('a'), never);
  assert.equal(await isServed(second), false);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  assert.equal(await isServed(second), true);
  assert.equal(await isServed(third), false);
});

test('an aborted wait throws the reason and leaves its slot to others', async () => {
  const slots = createFairSlots({ total: 2, perTenant: 1 });
  const held = await slots.acquire('x', openTenants('a'), never);
  const leaver = new AbortController();
  const left = slots.acquire('x', openTenants('a'), leaver.signal);
  const stays = slots.acquire('x', openTenants('a'), never);
  leaver.abort(new Error('gone'));
  await assert.rejects(left, /gone/);
  await assert.rejects(slots.acquire('x', openTenants('b'), leaver.signal), /gone/);
  held[Symbol.dispose]();
  assert.equal(await isServed(stays), true);
});

test('work has the best position of its tenants, including one that joins while it waits', async () => {
  const slots = createFairSlots({ total: 3, perTenant: 1 });
  using _a = await slots.acquire('x', openTenants('a'), never);
  const shared = openTenants('a');
  const waits = slots.acquire('x', shared, never);
  assert.equal(await isServed(waits), false);
  shared.join('b');
  assert.equal(await isServed(waits), true);
  assert.equal(await isServed(slots.acquire('x', openTenants('b'), never)), false);
  assert.equal(await isServed(slots.acquire('x', openTenants('a', 'c'), never)), true);
});
