import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PrefetchEntry } from '../ports/prefetch.ts';
import { chooseDue } from './prefetch-entry.ts';

function item(name: string, dueAt: number, priority: number, namespace?: string) {
  const artifact = { reference: name, selection: { unpack: 'auto', include: [], exclude: [] } } as const;
  const turn = () => undefined;
  const owner = { uid: name, generation: 1, priority, secrets: async () => ({}), turn };
  const resource = namespace === undefined ? owner : { ...owner, namespace };
  const entry: PrefetchEntry = { artifact, keep: true, intervalMs: 1, nodeSelector: {}, resource };
  return { entry, dueAt };
}

test('priorities give a namespace no turn before those that have been due for longer', () => {
  const items = [item('a', 1, 0, 'evil'), item('b', 2, 0, 'shop'), item('c', 3, 9, 'evil'), item('d', 4, 8)];
  const order: string[] = [];
  while (items.length > 0) {
    const chosen = chooseDue(items.toSorted((a, b) => a.dueAt - b.dueAt)) ?? assert.fail();
    order.push(chosen.entry.artifact.reference);
    items.splice(items.indexOf(chosen), 1);
  }
  assert.deepEqual(order, ['d', 'c', 'b', 'a']);
});
