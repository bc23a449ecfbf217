import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PrefetchEntry } from '../ports/prefetch.ts';
import { createPrefetchOrder } from './prefetch-order.ts';

type Owner = { readonly priority?: number; readonly namespace?: string };

function item(reference: string, dueAt: number, owner?: Owner) {
  const artifact = { reference, selection: { unpack: 'auto', include: [], exclude: [] } } as const;
  const rest = {
    uid: reference,
    generation: 1,
    priority: 0,
    secrets: async () => ({}),
    turn: () => undefined,
  };
  const resource = owner && { ...rest, ...owner };
  const entry: PrefetchEntry = {
    artifact,
    keep: true,
    intervalMs: 1,
    nodeSelector: {},
    ...(resource && { resource }),
  };
  return { entry, dueAt };
}

type Item = ReturnType<typeof item>;

/** Works on items, each for so long, until none is left. Answers their names in order. */
function workOff(items: readonly Item[], msOf: (name: string) => number): string {
  const order = createPrefetchOrder();
  const left = [...items];
  const names: string[] = [];
  for (let at = 1_000; left.length > 0; ) {
    const chosen = order.choose(left) ?? assert.fail();
    const name = chosen.entry.artifact.reference;
    left.splice(left.indexOf(chosen), 1);
    order.count(chosen, left, at, at + msOf(name));
    at += msOf(name);
    names.push(name);
  }
  return names.join(' ');
}

const evil = { namespace: 'evil' };
const shop = { namespace: 'shop' };

test('of owners with as much work, each has a turn before one has the next, and its longest due entry first', () => {
  const items = [
    item('cluster', 11, {}),
    item('list', 10),
    item('shop2', 9, shop),
    item('shop1', 8, shop),
    ...[1, 2, 3].map(nth => item(`evil${nth}`, nth, evil)),
  ];
  assert.equal(
    workOff(items, () => 60_000),
    'evil1 shop1 list cluster evil2 shop2 evil3',
  );
});

test('the priorities of a namespace order its own entries, and those of the cluster all', () => {
  const items = [
    item('a', 1, evil),
    item('b', 2, shop),
    item('c', 3, { ...evil, priority: 9 }),
    item('d', 4, { priority: 8 }),
    item('e', 5, { priority: 8 }),
  ];
  assert.equal(
    workOff(items, () => 60_000),
    'd e c b a',
  );
});

test('turns by a priority of the cluster do not count', () => {
  const order = createPrefetchOrder();
  const [cluster, urgent, list] = [
    item('cluster', 1, {}),
    item('urgent', 2, { priority: 8 }),
    item('list', 3),
  ];
  order.count(urgent, [cluster, list], 1_000, 2_000);
  assert.equal(order.choose([list, cluster]), cluster);
});

test('after a long turn of an owner, the others have as much time', () => {
  const items = [
    ...[1, 2].map(nth => item(`evil${nth}`, nth, evil)),
    ...[1, 2, 3, 4, 5].map(nth => item(`shop${nth}`, 10 + nth, shop)),
  ];
  assert.equal(
    workOff(items, name => (name.startsWith('evil') ? 60_000 : 20_000)),
    'evil1 shop1 shop2 shop3 evil2 shop4 shop5',
  );
});

test('an owner owes nothing for time in which nobody waited, and has no claim to time that it left to others', () => {
  const order = createPrefetchOrder();
  const [long, late, list] = [item('long', 0, evil), item('late', 90, shop), item('list', 0)];
  const nameOf = (...due: readonly Item[]) => order.choose(due)?.entry.artifact.reference;
  order.count(long, [late], 0, 100);
  assert.equal(nameOf(item('evil', 101, evil), item('shop', 102, shop)), 'shop');
  order.count(item('shop', 102, shop), [long], 100, 111);
  assert.equal(nameOf(item('evil', 101, evil), item('shop', 102, shop)), 'evil', '10 ms are less than 11');
  for (let turn = 0; turn < 5; turn++) order.count(long, [late], 1_000, 2_000);
  assert.equal(nameOf(long, list), 'list');
  order.count(list, [long], 2_000, 3_001);
  assert.equal(nameOf(long, list), 'long', 'the list waited for no turn before');
});
