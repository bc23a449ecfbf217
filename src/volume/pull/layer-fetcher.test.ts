import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { describeBlob } from '../../../test/support/oci/nodes.ts';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import { parseDigest } from '../../oci/digest.ts';
import type { LayerPlan } from '../../oci/plan.ts';
import type { Content, Sink } from '../../ports/registry.ts';
import type { UnpackSource } from '../../ports/unpacker.ts';
import type { Progress } from '../../ports/usecases.ts';
import { openStore } from '../../store/store.ts';
import { ArtifactError } from '../../util/error.ts';
import { openTenants } from '../../util/fair-slots.ts';
import { Paused } from '../../util/pause.ts';
import type { AdmittedContent } from '../access/admitted-content.ts';
import { createLayerFetcher } from './layer-fetcher.ts';
import { createProgressTracker } from './progress.ts';

const size = 1_000_000;
const never = new AbortController().signal;

const planFile = (descriptor: Descriptor): LayerPlan => ({ descriptor, label: 'l', name: 'l', form: 'file' });
type FetchBlob = (
  descriptor: Descriptor,
  label: string,
  sink: Sink,
  signal: AbortSignal,
) => Promise<Record<string, never>>;

const errandFrom = (registry: string, fetchBlob: FetchBlob, tenant = 'a') => {
  const content: Pick<
    AdmittedContent,
    'registry' | 'shownBy' | 'fetchBlob' | 'hasBlob' | 'admitAll' | 'note'
  > = {
    registry,
    fetchBlob,
    hasBlob: async () => ({}),
    shownBy: {},
    admitAll: async () => [],
    note: () => {},
  };
  return {
    content: content as AdmittedContent,
    tenants: openTenants(tenant),
    came: (): void => {},
    form: 'bodies' as const,
    proofs: new Map(),
  };
};

/** A store on disk, and a registry with a given blob function. */
async function openWorld(
  blob: (descriptor: Descriptor, sink: Sink, signal: AbortSignal) => Promise<void>,
  others: object = {},
) {
  const directory = await temporaryDirectory();
  const store = await openStore({ stateDir: directory.path });
  const fetchBlob: FetchBlob = async (descriptor, _, sink, signal) => {
    await blob(descriptor, sink, signal);
    return {};
  };
  const world = { ...store, meter: { bytesPulled() {} }, ...others };
  return {
    store,
    source: createLayerFetcher(world as never, 1),
    errand: errandFrom('r.example', fetchBlob),
    /** Leaves the state of an interrupted download. */
    async leave(descriptor: Descriptor, bytes: Uint8Array): Promise<void> {
      await using ingest = await store.blobs.ingest(descriptor, 'r.example', never);
      ingest.write(bytes);
    },
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      await directory[Symbol.asyncDispose]();
    },
  };
}

test('what is left of a download counts before it is gone on with, and while it waits for its turn', async () => {
  const [bytes, others] = [randomBytes(size), randomBytes(size)];
  const [plan, other] = [planFile(describeBlob(bytes)), planFile(describeBlob(others))];
  const [began, mayEnd] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  await using world = await openWorld(async ({ digest }, sink) => {
    if (digest === plan.descriptor.digest) return sink.write(bytes.subarray(sink.offset));
    began.resolve();
    await mayEnd.promise;
    sink.write(others);
  });
  const { errand } = world;
  const here = () => world.source.progress(plan, 'r.example');
  assert.equal(here(), 0);
  await world.leave(plan.descriptor, bytes.subarray(0, 700_000));
  assert.equal(here(), 700_000);
  assert.equal(world.source.progress(plan, 'other.example'), 0);
  const first = world.source.bring(other, errand, never);
  await began.promise;
  const second = world.source.bring(plan, errand, never);
  for (let turns = 0; turns < 100; turns++) {
    await turn();
    assert.equal(here(), 700_000);
  }
  mayEnd.resolve();
  await Promise.all([first, second]);
  assert.equal(here(), 0);
});

function planOf(form: LayerPlan['form']): LayerPlan {
  const digest = parseDigest(`sha256:${'a'.repeat(64)}`);
  return { descriptor: { mediaType: '', digest, size, annotations: {} }, label: 'l', name: 'l', form };
}

test('a call that ends while what is left of a download is verified costs none of it; wrong bytes are given up', async () => {
  const bytes = randomBytes(size);
  const plan = planFile(describeBlob(bytes));
  const leaving = new AbortController();
  let came = 0;
  await using world = await openWorld(async (_, sink, signal) => {
    came += size - sink.offset;
    sink.write(bytes.subarray(sink.offset));
    if (signal === leaving.signal) leaving.abort();
  });
  const { errand } = world;
  await world.leave(plan.descriptor, bytes.subarray(0, 700_000));
  await assert.rejects(world.source.bring(plan, errand, leaving.signal), { code: 'cancelled' });
  assert.equal(world.source.progress(plan, 'r.example'), size);
  await world.source.bring(plan, errand, never);
  assert.equal(came, 300_000);

  const wrong = randomBytes(700_000);
  await world.store.blobs.remove(plan.descriptor.digest);
  await world.leave(plan.descriptor, wrong);
  await world.source.bring(plan, errand, never);
  assert.equal(came, 300_000 + 300_000 + size);
});

test('bytes that only prove access are counted, and kept while a registry asks to wait', async () => {
  const bytes = randomBytes(size);
  const plan = planFile(describeBlob(bytes));
  const offsets: number[] = [];
  await using world = await openWorld(async ({ digest }, sink) => {
    offsets.push(sink.offset);
    sink.write(bytes.subarray(sink.offset, sink.offset + size / 2));
    if (sink.offset < size)
      throw new Paused({ reason: 'r.example asks', until: Date.now() }, `${digest} is for later`);
  });
  await world.store.blobs.put(plan.descriptor.digest, bytes);
  const { errand, source } = world;
  let noted = 0;
  let came = 0;
  const content = {
    ...errand.content,
    admitAll: async (contents: readonly Content[]) => contents,
    note: () => noted++,
  };
  const proving = { ...errand, content, came: () => came++ };
  await assert.rejects(source.bring(plan, proving, never), Paused);
  assert.deepEqual([noted, came], [0, 1]);
  assert.deepEqual(await source.bring(plan, proving, never), {});
  assert.deepEqual([noted, came, offsets], [1, 2, [0, size / 2]]);

  bytes.fill(0);
  await assert.rejects(source.bring(plan, proving, never), Paused);
  await assert.rejects(source.bring(plan, proving, never), { code: 'corrupt' });
  assert.equal(noted, 1);
});

/** A world where downloads are immediate, and `look` sees each later step of a layer. */
function createWorld(look: (step: string) => void) {
  let offset = 0;
  const sink = {
    path: '/partial',
    get offset() {
      return offset;
    },
    write: (chunk: Uint8Array) => void (offset += chunk.length),
    restart: () => void (offset = 0),
    verify: async () => look('verify'),
    commit: async () => look('commit'),
    drop: async () => {},
    [Symbol.asyncDispose]: async () => {},
  };
  const stage = { path: '/stage', commit: async () => {}, [Symbol.asyncDispose]: async () => {} };
  const fetchBlob: FetchBlob = async (_, __, to) => {
    to.write(new Uint8Array(size / 2));
    look('half');
    to.write(new Uint8Array(size / 2));
    return {};
  };
  const world = {
    blobs: { size: async () => undefined, ingest: async () => sink, partial: () => 0 },
    layers: { has: async () => false, tar: async () => undefined, stage: async () => stage },
    unpacker: { unpack: async () => look('unpack') },
    meter: { bytesPulled: () => {} },
    room: { unpacking: () => ({ learn() {}, [Symbol.dispose]() {} }) },
  } as unknown as Parameters<typeof createLayerFetcher>[0];
  return {
    errand: errandFrom('r.example', fetchBlob),
    source: createLayerFetcher({ ...world, bandwidth: undefined }, 6),
  };
}

for (const [form, expected] of [
  [
    'file',
    ['half 50 % download, 0.5 to come', 'verify 100 % unpack, 0 to come', 'commit 100 % unpack, 0 to come'],
  ],
  [
    'unpacked',
    ['half 50 % download, 2.5 to come', 'verify 100 % unpack, 2 to come', 'unpack 100 % unpack, 2 to come'],
  ],
] as const) {
  test(`what is whole stays so in the progress until the layer is there (${form})`, async () => {
    const layer = planOf(form);
    const steps: string[] = [];
    let last: Progress | undefined;
    const { errand, source } = createWorld(step => {
      tracker.tick();
      const percent = (100 * (last?.bytes ?? 0)) / size;
      steps.push(`${step} ${percent} % ${last?.phase}, ${tracker.remaining([layer]) / size} to come`);
    });
    const tracker = createProgressTracker({
      plans: [layer],
      missing: [layer],
      here: plan => source.progress(plan, 'r.example'),
      isShown: () => true,
      report: progress => {
        last = progress;
      },
    });
    await source.bring(layer, errand, never);
    assert.deepEqual(steps, expected);
    assert.equal(source.progress(layer, 'r.example'), 0);
  });
}

/** A source whose registries stall for ever, except for the blobs of one; its layers unpack for ever, likewise. */
function createStallingSource() {
  const stall = (signal: AbortSignal): Promise<never> =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  const sinkOf = ({ digest }: Descriptor) => ({
    path: digest,
    offset: 0,
    verify: async () => {},
    commit: async () => {},
    drop: async () => {},
    [Symbol.asyncDispose]: async () => {},
  });
  const held = new Set<string>();
  const stage = { path: '', commit: async () => {}, [Symbol.asyncDispose]: async () => {} };
  const under = { downloads: 0, unpacks: 0 };
  const fetchStalling: FetchBlob = async (_, __, ___, signal) => {
    under.downloads++;
    return await stall(signal).finally(() => under.downloads--);
  };
  return {
    under,
    good: (tenant: string) => errandFrom('good', async () => ({}), tenant),
    bad: (registry: number) => errandFrom(`bad${registry}`, fetchStalling, 'evil'),
    source: createLayerFetcher(
      {
        bandwidth: undefined,
        blobs: {
          size: async () => undefined,
          ingest: async (descriptor: Descriptor) => sinkOf(descriptor),
          partial: () => 0,
        },
        layers: {
          has: async (digest: string) => held.has(digest),
          tar: async () => undefined,
          stage: async () => stage,
        },
        unpacker: {
          async unpack(_: string, digest: string, __: string, signal: AbortSignal) {
            if (digest.includes('bad')) {
              under.unpacks++;
              await stall(signal).finally(() => under.unpacks--);
            }
            held.add(digest);
          },
        },
        meter: { bytesPulled: () => {} },
        room: { unpacking: () => ({ learn() {}, [Symbol.dispose]() {} }) },
      } as unknown as Parameters<typeof createLayerFetcher>[0],
      6,
    ),
  };
}

const layerNamed = (name: string, form: LayerPlan['form']): LayerPlan => ({
  descriptor: {
    mediaType: '',
    digest: parseDigest(`sha256:${Buffer.from(name).toString('hex').padStart(64, '0')}`),
    size,
    annotations: {},
  },
  label: name,
  name,
  form,
});

test('however many registries of one tenant stall, the layers of another come', async () => {
  const { source, under, good, bad } = createStallingSource();
  const end = new AbortController();
  const stalled: Promise<unknown>[] = [];
  for (let registry = 0; registry < 30; registry++)
    for (let layer = 0; layer < 8; layer++)
      stalled.push(source.bring(layerNamed(`${registry}.${layer}`, 'file'), bad(registry), end.signal));
  await turn();
  await turn();
  assert.ok(under.downloads >= 16 && under.downloads <= 48, `${under.downloads} downloads`);
  for (const tenant of ['b', 'c', 'd'])
    await source.bring(layerNamed(tenant, 'file'), good(tenant), AbortSignal.timeout(2_000));
  end.abort();
  await Promise.allSettled(stalled);
  assert.equal(under.downloads, 0);
});

test('layers of one tenant that unpack for ever leave threads to others, and to what others want too', async () => {
  const { source, under, good } = createStallingSource();
  const end = new AbortController();
  const layers = Array.from({ length: 6 }, (_, nth) => {
    const layer = layerNamed(String(nth), 'unpacked');
    const digest = parseDigest(`sha256:${`bad${nth}`.padStart(64, '0')}`);
    return { ...layer, descriptor: { ...layer.descriptor, digest } };
  });
  const unpacking = layers.map(layer => source.bring(layer, good('evil'), end.signal));
  await turn();
  await turn();
  assert.equal(under.unpacks, 2);
  for (const tenant of ['b', 'c'])
    await source.bring(layerNamed(tenant, 'unpacked'), good(tenant), AbortSignal.timeout(2_000));
  // A waiting layer proceeds with the share of another caller that wants it.
  const last = layers.at(-1);
  assert.ok(last !== undefined);
  unpacking.push(source.bring(last, good('b'), end.signal));
  while (under.unpacks < 3) await turn();
  end.abort();
  await Promise.allSettled(unpacking);
});

test('bytes that are announced are shown, and are unpacked when they are here', async () => {
  const bytes = randomBytes(2 * size);
  const layer: LayerPlan = { ...planFile(describeBlob(bytes)), form: 'unpacked' };
  const unpacked: string[] = [];
  const unpacker = {
    async unpack({ arrival }: UnpackSource) {
      unpacked.push(arrival === undefined ? 'verified' : 'early');
      throw new ArtifactError('unmountable', 'these are random bytes');
    },
  };
  const room = { unpacking: () => ({ grow: async () => {}, async [Symbol.asyncDispose]() {} }) };
  const came: number[] = [];
  await using world = await openWorld(
    async (_, sink) => {
      sink.file?.announced?.(size);
      assert.equal(sink.offset, 0);
      assert.equal(world.source.progress(layer, 'r.example'), size);
      assert.deepEqual(came, [0]);
      await sleep(400, undefined); // an early unpacking begins after 250 ms
      sink.write(bytes);
    },
    { unpacker, room },
  );
  const errand = { ...world.errand, came: (_: LayerPlan, bytes: number) => void came.push(bytes) };
  await assert.rejects(world.source.bring(layer, errand, never), { code: 'unmountable' });
  assert.deepEqual(came, [0, bytes.length]);
  assert.deepEqual(unpacked, ['verified']);
});

test('an empty layer, and one that is embedded, count as shown by whoever answered what the reference names', async () => {
  await using world = await openWorld(async () => assert.fail('it is fetched'));
  const shownBy = { isOpen: true };
  const noted: unknown[] = [];
  const content = {
    ...world.errand.content,
    shownBy,
    note: (_: unknown, by: unknown) => void noted.push(by),
  };
  const data = randomBytes(100);
  for (const descriptor of [describeBlob(Buffer.alloc(0)), { ...describeBlob(data), data }])
    await world.source.bring(planFile(descriptor), { ...world.errand, content }, never);
  assert.deepEqual(noted, [shownBy, shownBy]);
});
