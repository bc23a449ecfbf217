import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { createFairQueue, createFairSlots, type Lane, openTenants, type Shares } from './fair-slots.ts';

const never = new AbortController().signal;

/** Serves everything that may be served now. */
function serveAll<Item>(queue: ReturnType<typeof createFairQueue<Item>>): { item: Item; lane: Lane }[] {
  const served: { item: Item; lane: Lane }[] = [];
  for (let next = queue.next(); next !== undefined; next = queue.next()) served.push(next);
  return served;
}

const shares = fc.record(
  {
    total: fc.integer({ min: 1, max: 40 }),
    perTenant: fc.integer({ min: 1, max: 10 }),
    perRegistry: fc.nat(8),
  },
  { requiredKeys: ['total'] },
);
const name = fc.constantFrom('a', 'b', 'c', 'd');
const step = fc.oneof(
  fc.record({
    kind: fc.constant('add' as const),
    tenants: fc.uniqueArray(name, { minLength: 1 }),
    registry: name,
  }),
  fc.record({ kind: fc.constant('remove' as const), nth: fc.nat() }),
  fc.record({ kind: fc.constant('release' as const), nth: fc.nat() }),
);

test('in any sequence, no tenant exceeds its share, and a tenant without slots finds a free one', () => {
  fc.assert(
    fc.property(shares, fc.array(step, { maxLength: 200 }), (given, steps) => {
      const limits: Shares = {
        ...given,
        ...(given.perRegistry !== undefined && { perRegistry: given.perRegistry + 1 }),
      };
      const queue = createFairQueue<number>(limits);
      const waiting = new Map<number, { readonly tenants: readonly string[]; readonly registry: string }>();
      let held: Lane[] = [];
      const count = (of: Partial<Lane>): number =>
        held.filter(
          lane =>
            lane.tenant === (of.tenant ?? lane.tenant) && lane.registry === (of.registry ?? lane.registry),
        ).length;
      steps.forEach((each, number) => {
        if (each.kind === 'add') {
          waiting.set(number, each);
          for (const tenant of each.tenants) queue.add(number, { tenant, registry: each.registry });
        } else if (each.kind === 'remove') {
          const item = [...waiting.keys()][each.nth % Math.max(1, waiting.size)];
          if (item !== undefined) queue.remove(item);
          if (item !== undefined) waiting.delete(item);
        } else {
          const lane = held[each.nth % Math.max(1, held.length)];
          held = held.filter(other => other !== lane);
          if (lane !== undefined) queue.release(lane);
        }
        for (const { item, lane } of serveAll(queue)) {
          const asked = waiting.get(item);
          assert.ok(asked?.tenants.includes(lane.tenant) && asked.registry === lane.registry);
          waiting.delete(item);
          held.push(lane);
        }
        const free = limits.total - held.length;
        assert.ok(free >= 0);
        for (const lane of held) {
          assert.ok(count({ tenant: lane.tenant }) <= (limits.perTenant ?? limits.total));
          assert.ok(count(lane) <= (limits.perRegistry ?? limits.total));
          assert.ok(count({ registry: lane.registry }) <= 2 * (limits.perRegistry ?? limits.total));
        }
        const isCrowded = (registry: string): boolean =>
          limits.perRegistry !== undefined && count({ registry }) >= 2 * limits.perRegistry;
        for (const { tenants, registry } of waiting.values())
          if (free > 0 && !isCrowded(registry))
            for (const tenant of tenants) assert.ok(count({ tenant }) > 0);
      });
    }),
  );
});

test('a tenant that wants all slots leaves half, and each next one leaves half of the rest', () => {
  const queue = createFairQueue<string>({ total: 96, perRegistry: 6 });
  const greedy = (tenant: string): number => {
    for (let nth = 0; nth < 400; nth++)
      queue.add(`${tenant}${nth}`, { tenant, registry: `${tenant}-${nth % 40}` });
    return serveAll(queue).length;
  };
  assert.deepEqual(['a', 'b', 'c', 'd', 'e'].map(greedy), [47, 25, 12, 6, 3]);
  queue.add('small', { tenant: 'f', registry: 'good' });
  assert.equal(serveAll(queue).length, 1);
});

test('the tenants of a registry share it, and a tenant leaves slots for its other registries', () => {
  const queue = createFairQueue<string>({ total: 96, perRegistry: 6 });
  for (let nth = 0; nth < 20; nth++) queue.add(`a${nth}`, { tenant: 'a', registry: 'shared' });
  assert.equal(serveAll(queue).length, 6);
  for (let nth = 0; nth < 20; nth++) queue.add(`b${nth}`, { tenant: 'b', registry: 'shared' });
  assert.equal(serveAll(queue).length, 3);
  queue.add('c', { tenant: 'c', registry: 'shared' });
  assert.equal(serveAll(queue).length, 1);
});

test('a free slot goes round the tenants, and round the registries of each', () => {
  const queue = createFairQueue<string>({ total: 1 });
  for (const item of ['a1', 'a2', 'a3', 'b1', 'b2'])
    queue.add(item, { tenant: item.charAt(0), registry: 'x' });
  queue.add('a4', { tenant: 'a', registry: 'y' });
  const order: string[] = [];
  for (let served = queue.next(); served !== undefined; served = queue.next()) {
    order.push(served.item);
    queue.release(served.lane);
  }
  assert.deepEqual(order, ['a1', 'b1', 'a4', 'b2', 'a2', 'a3']);
});

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
