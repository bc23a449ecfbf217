import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeBlob } from '../../../test/support/oci/nodes.ts';
import type { LayerPlan } from '../../oci/plan.ts';
import { createFairSlots, openTenants } from '../../util/fair-slots.ts';
import { createMissingLayers } from './missing-layers.ts';
import { createOriginTally } from './progress.ts';

type World = Parameters<typeof createMissingLayers>[0];
type Fetch = Parameters<ReturnType<typeof createMissingLayers>['fetch']>;

const MiB = 1024 * 1024;

/** The labels of the layers in the order in which a node fetches them. */
async function orderOf(nodeId: string, sizes: readonly number[]): Promise<readonly string[]> {
  const layers = sizes.map((size, number) => {
    const descriptor = { ...describeBlob(Buffer.from(`layer ${number}`)), size };
    return { form: 'file', descriptor, label: `${number}` } as unknown as LayerPlan;
  });
  const order: string[] = [];
  const world = {
    source: {
      progress: () => 0,
      bring: async ({ label }: LayerPlan) => void order.push(label),
    },
    blobs: { expect: () => ({ [Symbol.dispose]() {} }) },
    room: { reserve: async () => ({ [Symbol.dispose]() {} }) },
    meter: { pullEnded() {} },
    merges: createFairSlots({ total: 1, perRegistry: 1 }),
    nodeId,
  } as unknown as World;
  const viewPlan = { reference: 'r.example/a:1', plan: { layers }, selection: {} } as unknown as Fetch[0];
  const content = { registry: 'r.example', knows: () => false, save: async () => {} } as unknown as Fetch[3];
  const context = { report() {}, tally: createOriginTally(), tenants: openTenants('a') };
  await createMissingLayers(world).fetch(
    viewPlan,
    { missing: layers, unproven: [] },
    'bodies',
    content,
    context,
    new AbortController().signal,
  );
  return order;
}

test('nodes fetch large layers in orders of their own, after the others', async () => {
  const sizes = [MiB, 64 * MiB, 100 * MiB, 64 * MiB, 2 * MiB, 1000 * MiB];
  const orders = await Promise.all(Array.from({ length: 20 }, (_, node) => orderOf(`node-${node}`, sizes)));
  for (const order of orders) {
    assert.deepEqual(order.slice(0, 2), ['0', '4']);
    assert.deepEqual(order.toSorted(), ['0', '1', '2', '3', '4', '5']);
  }
  assert.ok(new Set(orders.map(String)).size > 5);
  assert.deepEqual(await orderOf('node-0', sizes), orders[0]);
});

test('small artifacts are fetched in the order of their layers', async () => {
  const sizes = [2 * MiB, MiB, 63 * MiB, 3 * MiB, 64 * MiB];
  for (const node of ['a', 'b', 'c']) assert.deepEqual(await orderOf(node, sizes), ['0', '1', '2', '3', '4']);
});
