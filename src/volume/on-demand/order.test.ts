import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createOrder } from './order.ts';

/** Takes all layers, and asks for some before a turn. */
function takeAll(count: number, asked: Readonly<Record<number, readonly number[]>>): readonly number[] {
  const order = createOrder(count);
  const taken: number[] = [];
  for (let turn = 0; taken.length < count; turn++) {
    for (const layer of asked[turn] ?? []) order.ask(layer);
    const next = order.next(layer => !taken.includes(layer));
    if (next === undefined) break;
    taken.push(next);
  }
  return taken;
}

test('layers come from the first on, those asked for before them, and then what follows the last of those', () => {
  const cases: readonly [Readonly<Record<number, readonly number[]>>, readonly number[]][] = [
    [{}, [0, 1, 2, 3, 4]],
    [{ 0: [3] }, [3, 4, 0, 1, 2]],
    [{ 1: [4, 2] }, [0, 4, 2, 3, 1]],
    [{ 2: [0] }, [0, 1, 2, 3, 4]],
    [{ 0: [2], 1: [1] }, [2, 1, 3, 4, 0]],
  ];
  for (const [asked, taken] of cases) assert.deepEqual(takeAll(5, asked), taken, JSON.stringify(asked));
});

test('whatever is asked for, each layer comes once', () => {
  const asking = fc.dictionary(fc.nat(20).map(String), fc.array(fc.nat(20), { maxLength: 4 }));
  fc.assert(
    fc.property(asking, asked => {
      assert.deepEqual(
        takeAll(21, asked).toSorted((a, b) => a - b),
        Array.from({ length: 21 }, (_, layer) => layer),
      );
    }),
  );
});

test('a layer that cannot be loaded now stays asked for', () => {
  const order = createOrder(3);
  order.ask(2);
  assert.equal(
    order.next(layer => layer !== 2),
    0,
  );
  assert.ok(order.isAsked(layer => layer === 2));
  assert.equal(
    order.next(() => true),
    2,
  );
  assert.ok(!order.isAsked(() => true));
});
