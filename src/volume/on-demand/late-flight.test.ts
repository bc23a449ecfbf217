import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeBlob } from '../../../test/support/oci/nodes.ts';
import type { LayerPlan } from '../../oci/plan.ts';
import type { LateChunk, LateChunks, LateView } from '../../ports/late-views.ts';
import { abortable } from '../../util/abortable.ts';
import { ArtifactError } from '../../util/error.ts';
import { openTenants } from '../../util/fair-slots.ts';
import type { AdmittedContent } from '../access/admitted-content.ts';
import type { SharedLoad } from '../pull/missing-layers.ts';
import { createCrowds } from './crowd.ts';
import { createLateFlight } from './late-flight.ts';
import { createReads } from './reads.ts';

const descriptor = describeBlob(Buffer.alloc(30));
const layer: LayerPlan = { descriptor, label: 'l', name: 'l', form: 'file' };
const never = new AbortController().signal;

/** The chunks of a layer whose verification ends when the test says so. */
function openChunks(verified: Promise<void>) {
  const shown = new Set<number>();
  let isWhole = false;
  const chunks: Partial<LateChunks> = {
    count: 3,
    chunkSize: 10,
    at: offset => Math.floor(offset / 10),
    isListed: () => true,
    isShown: chunk => shown.has(chunk),
    has: offset => shown.has(Math.floor(offset / 10)),
    bytes: () => 10 * shown.size,
    open: chunk =>
      ({ show: async () => void shown.add(chunk), [Symbol.dispose]() {} }) as Partial<LateChunk> as LateChunk,
    isWhole: () => isWhole,
    hasLied: () => false,
    finish: async () => {
      await verified;
      isWhole = true;
    },
  };
  return chunks as LateChunks;
}

test('a read of a chunk that is shown does not wait until all of its layer is verified', async () => {
  const verified = Promise.withResolvers<void>();
  const chunks = openChunks(verified.promise);
  const noted: unknown[] = [];
  const late: Partial<LateView> = {
    layers: [descriptor],
    isShown: () => chunks.isWhole(),
    chunksOf: () => chunks,
    open: () => ({ fd: 7, [Symbol.dispose]() {} }),
  };
  const content: Partial<AdmittedContent> = {
    registry: 'r',
    knows: () => true,
    silenceMs: async () => 0,
    note: digest => void noted.push(digest),
    save: async () => {},
  };
  const asked = {
    failed() {},
    patienceMs: 60_000,
    heardAt: () => 0,
    crowd: createCrowds()(),
    asked() {},
    stale() {},
  };
  using reads = createReads(30, asked);
  const world = {
    source: { isHeld: async () => false, bringPart: async () => ({}), progress: () => 0 },
    viewBuilder: { prepare: async () => {}, share: () => ({ [Symbol.dispose]() {} }) },
    leases: { hold: async () => ({ [Symbol.dispose]() {} }) },
    lists: { distrust() {} },
    room: {},
    patienceMs: 60_000,
  };
  const plan = { reference: 'r', plan: { layers: [layer] }, held: new Set() };
  const started = { late, layers: [layer], reads: [reads] };
  const reading = [5, 15, 25].map(offset => reads.bring(offset, 1));
  const flight = createLateFlight(
    world as never,
    plan as never,
    started as never,
    { content: content as AdmittedContent },
    (_, error) => assert.fail(error),
  );
  const context = { report() {}, tenants: openTenants('a') };
  const flown = flight.fly(context as never, never);
  for (const { fd } of await Promise.all(reading)) assert.equal(fd, 7);
  assert.deepEqual([chunks.isWhole(), noted], [false, []]);
  verified.resolve();
  await flown;
  assert.deepEqual([chunks.isWhole(), new Set(noted)], [true, new Set([descriptor.digest])]);
});

test('a pull waits for a layer that comes by chunk although a chunk of another layer failed', async () => {
  const layers = ['good', 'bad'].map(
    (label): LayerPlan => ({ ...layer, label, descriptor: describeBlob(Buffer.from(label.padEnd(30))) }),
  );
  const verified = Promise.withResolvers<void>();
  const chunks = layers.map(() => openChunks(verified.promise));
  const loads = new Map<LayerPlan, SharedLoad>();
  const ending = new AbortController();
  const failed: string[] = [];
  const hanging = Promise.withResolvers<object>();
  const world = {
    source: {
      isHeld: async () => false,
      bringPart: async ({ label }: LayerPlan) => {
        if (label === 'bad') throw new ArtifactError('unavailable', 'it is away');
        return abortable(hanging.promise, ending.signal);
      },
      progress: () => 0,
    },
    viewBuilder: {
      prepare: async () => {},
      share(layer: LayerPlan, _content: unknown, load: SharedLoad) {
        loads.set(layer, load);
        return { [Symbol.dispose]() {} };
      },
    },
    leases: { hold: async () => ({ [Symbol.dispose]() {} }) },
    lists: { distrust() {} },
    room: {},
    patienceMs: 60_000,
  };
  const late = {
    layers: layers.map(({ descriptor }) => descriptor),
    isShown: () => false,
    chunksOf: (number: number) => chunks[number],
  };
  const content = { registry: 'r', knows: () => true, silenceMs: async () => 0 };
  const flight = createLateFlight(
    world as never,
    { reference: 'r', plan: { layers }, held: new Set() } as never,
    { late, layers, reads: [] } as never,
    { content } as never,
    ({ label }) => void failed.push(label),
  );
  const context = { report() {}, tenants: openTenants('a') };
  const flown = flight.fly(context as never, ending.signal);
  flight.ask(1, { offset: 0, length: 1 });
  while (failed.length === 0) await new Promise(resolve => setImmediate(resolve));
  const isSettled = async (number: number): Promise<boolean> => {
    const waiting = loads.get(layers[number] ?? assert.fail())?.settled(never) ?? assert.fail();
    const soon = new Promise<false>(resolve => setImmediate(() => resolve(false)));
    return Promise.race([waiting.then(() => true as const), soon]);
  };
  assert.notEqual(flight.problem(), undefined);
  assert.deepEqual([await isSettled(0), await isSettled(1)], [false, true]);
  flight.hold();
  assert.deepEqual([await isSettled(0), await isSettled(1)], [true, true]);
  ending.abort(new ArtifactError('cancelled', 'the test ends'));
  await assert.rejects(flown, /the test ends/);
});
