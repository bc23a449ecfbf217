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

/** The layers of a pull, and a world whose downloads `bring` ends. */
function openWorld(nodeId: string, layers: readonly LayerPlan[], given: Partial<World> = {}) {
  const world = {
    source: { progress: () => 0, isHeld: async () => false },
    blobs: { expect: () => ({ [Symbol.dispose]() {} }) },
    room: { reserve: async () => ({ [Symbol.dispose]() {} }) },
    meter: { pullEnded() {} },
    merges: createFairSlots({ total: 1, perRegistry: 1 }),
    nodeId,
    ...given,
  } as unknown as World;
  const viewPlan = { reference: 'r.example/a:1', plan: { layers }, selection: {} } as unknown as Fetch[0];
  const content = {
    id: 'c',
    registry: 'r.example',
    knows: () => false,
    save: async () => {},
  } as unknown as Fetch[3];
  const context = { report() {}, tally: createOriginTally(), tenants: openTenants('a') };
  const missingLayers = createMissingLayers(world);
  const fetch = (): Promise<void> =>
    missingLayers.fetch(
      viewPlan,
      { missing: layers, unproven: [] },
      'bodies',
      content,
      context,
      new AbortController().signal,
    );
  return { content, fetch, share: missingLayers.share };
}

function layerOf(label: string, size: number, form = 'file'): LayerPlan {
  const descriptor = { ...describeBlob(Buffer.from(`layer ${label}`)), size };
  return { form, descriptor, label } as unknown as LayerPlan;
}

/** The labels of the layers in the order in which a node fetches them. */
async function orderOf(nodeId: string, sizes: readonly number[]): Promise<readonly string[]> {
  const layers = sizes.map((size, number) => layerOf(`${number}`, size));
  const order: string[] = [];
  const source = { progress: () => 0, bring: async ({ label }: LayerPlan) => void order.push(label) };
  await openWorld(nodeId, layers, { source: source as unknown as World['source'] }).fetch();
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

for (const form of ['file', 'unpacked'])
  test(`a layer (${form}) whose load ended without it is not downloaded before there is room for it`, async () => {
    const [plain, late] = [layerOf('plain', 2 * MiB), layerOf('late', 5 * MiB, form)];
    const events: string[] = [];
    const open = new Set<() => number>();
    const sum = (): number => open.values().reduce((all, remaining) => all + remaining(), 0) / MiB;
    const room: World['room'] = {
      async reserve(_reference, _all, layers, remaining) {
        events.push(`room for ${layers.map(({ label }) => label).join()}: ${remaining() / MiB}`);
        open.add(remaining);
        return { [Symbol.dispose]: () => void open.delete(remaining) };
      },
    };
    const source = {
      progress: () => 0,
      isHeld: async () => false,
      bring: async ({ label }: LayerPlan) => void events.push(`${label} comes, ${sum()} reserved`),
    } as unknown as World['source'];
    const { content, fetch, share } = openWorld('n', [plain, late], { source, room });
    const settling = Promise.withResolvers<void>();
    using _shared = share(late, content, { bytes: () => MiB, settled: () => settling.promise });
    const fetched = fetch();
    while (events.length < 2) await new Promise(resolve => setImmediate(resolve));
    settling.resolve();
    await fetched;
    const whole = form === 'file' ? 5 : 15;
    assert.deepEqual(events, [
      'room for plain,late: 2',
      'plain comes, 2 reserved',
      `room for late: ${whole}`,
      `late comes, ${whole} reserved`,
    ]);
    assert.equal(open.size, 0);
  });

test('a layer that its load has brought needs no room', async () => {
  const late = layerOf('late', 5 * MiB);
  const reserved: number[] = [];
  const room: World['room'] = {
    async reserve(_reference, _all, _layers, remaining) {
      reserved.push(remaining());
      return { [Symbol.dispose]() {} };
    },
  };
  const source = { progress: () => 0, isHeld: async () => true, bring: async () => undefined };
  const { content, fetch, share } = openWorld('n', [late], {
    room,
    source: source as unknown as World['source'],
  });
  using _shared = share(late, content, { bytes: () => MiB, settled: async () => {} });
  await fetch();
  assert.deepEqual(reserved, [0]);
});

test('of several loads of one layer, a pull waits for the one that is furthest and has not ended', async () => {
  const late = layerOf('late', 5 * MiB);
  let isHere = false;
  const waited: string[] = [];
  const source = { progress: () => 0, isHeld: async () => isHere, bring: async () => void (isHere = true) };
  const { content, fetch, share } = openWorld('n', [late], { source: source as unknown as World['source'] });
  const open = (name: string, bytes: number): Disposable =>
    share(late, content, { bytes: () => bytes, settled: async () => void waited.push(name) });
  using _first = open('first', 2);
  const second = open('second', 3);
  using _third = open('third', 1);
  await fetch();
  second[Symbol.dispose]();
  second[Symbol.dispose]();
  await fetch();
  assert.deepEqual(waited, ['second', 'first']);
});
