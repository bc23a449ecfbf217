import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Digest, parseDigest } from '../../oci/digest.ts';
import type { NameRecord } from '../../ports/records.ts';
import type { Held, View } from '../../ports/store.ts';
import { createCollector } from './collector.ts';
import { createDiskSpace } from './disk-space.ts';
import { createLeases, nameId, viewId } from './leases.ts';

const never = new AbortController().signal;
const digestOf = (number: number): Digest => parseDigest(`sha256:${number.toString(16).padStart(64, '0')}`);

/** A cache in memory: blobs of 10 bytes, layers of 100, views over them, and roots. */
function createCache() {
  const blobs = new Map<Digest, number>();
  const layers = new Map<Digest, number>();
  const views = new Map<string, View>();
  const names = new Map<string, NameRecord>();
  /** Digests of volumes by view key, and of pins. */
  const volumes = new Map<string, readonly Digest[]>();
  const pins = new Map<string, readonly Digest[]>();
  const mounted = new Set<string>();
  const leases = createLeases();
  const forgotten = { signatures: 0, accesses: 0 };
  let looks = 0;
  const items = (map: Map<Digest, number>, bytes: number): Held[] =>
    [...map].map(([digest, since]) => ({ digest, bytes, inodes: 1, since }));
  const unused = (): never => assert.fail('not part of collection');
  const collector = createCollector({
    leases,
    signatures: { sweep: async () => void forgotten.signatures++ },
    access: { sweep: async () => void forgotten.accesses++ },
    viewsDirectory: '/views',
    blobs: {
      size: async digest => (blobs.has(digest) ? 10 : undefined),
      remove: async digest => void blobs.delete(digest),
      list: async () => {
        looks++;
        return items(blobs, 10);
      },
      read: unused,
      expect: unused,
      put: unused,
      ingest: unused,
      partial: unused,
      path: unused,
      check: unused,
    },
    layers: {
      has: async digest => layers.has(digest),
      remove: async digest => void layers.delete(digest),
      list: async () => items(layers, 100),
      size: unused,
      form: unused,
      tar: unused,
      readToc: unused,
      stage: unused,
      path: unused,
      check: unused,
    },
    views: {
      find: async key => views.get(key),
      remove: async key => void views.delete(key),
      list: async () => [...views.values()],
      holding: unused,
      build: unused,
      touch: unused,
      isAsBuilt: unused,
      compare: unused,
      checkImage: unused,
      distrust: unused,
      shows: unused,
      setAside: unused,
    },
    names: {
      listAll: async () => [...names.values()],
      put: async name => void names.set(name.reference, name),
      remove: async reference => void names.delete(reference),
    },
    volumes: {
      listAll: async () => [...volumes].map(([view, held]) => ({ ...record, view, holds: held })),
    },
    pins: {
      listAll: async () =>
        [...pins].map(([reference, held]) => ({
          reference,
          digest: held[0] ?? digestOf(0),
          pinnedAt: 0,
          holds: held,
        })),
    },
    mounter: {
      list: async () => [...mounted].map(key => ({ target: '/t', source: `/views/${key}`, dead: false })),
    },
  });
  const bytes = (): number => blobs.size * 10 + layers.size * 100;
  return {
    blobs,
    layers,
    views,
    names,
    volumes,
    pins,
    mounted,
    leases,
    collector,
    forgotten,
    bytes,
    looks: () => looks,
  };
}

const record = {
  volumeId: 'v',
  targetPath: '/t',
  fingerprint: '',
  anywhere: false,
  reference: '',
  resolved: '',
  digest: digestOf(0),
  manifest: digestOf(0),
  bytes: 0,
  inodes: 0,
  publishedAt: 0,
};

type Cache = ReturnType<typeof createCache>;

function addView(
  cache: Cache,
  key: string,
  usedAt: number,
  blobs: readonly number[],
  layers: readonly number[] = [],
): void {
  for (const number of blobs) cache.blobs.set(digestOf(number), usedAt);
  for (const number of layers) cache.layers.set(digestOf(number), usedAt);
  const [manifest = 0, ...files] = blobs;
  cache.views.set(key, {
    key,
    manifest: digestOf(manifest),
    reference: key,
    blobs: files.map(digestOf),
    layers: layers.map(digestOf),
    bytes: 0,
    inodes: 0,
    path: `/views/${key}`,
    usedAt,
  });
}

function addName(cache: Cache, reference: string, usedAt: number, holds: readonly number[]): void {
  cache.names.set(reference, {
    reference,
    descriptor: { digest: digestOf(holds[0] ?? 0), size: 10, mediaType: '', annotations: {} },
    resolvedAt: 0,
    authorised: 'anonymous',
    holds: holds.map(digestOf),
    usedAt,
  });
}

/** Adds a view with a name of its own; the first blob is the manifest. */
function addArtifact(
  cache: Cache,
  key: string,
  usedAt: number,
  blobs: readonly number[],
  layers: readonly number[] = [],
): void {
  addView(cache, key, usedAt, blobs, layers);
  addName(cache, key, usedAt, [...blobs, ...layers]);
}

const all = async (): Promise<boolean> => false;
const numbers = (map: ReadonlyMap<Digest, unknown>): readonly number[] =>
  [...map.keys()].map(digest => Number.parseInt(digest.slice(7), 16)).sort((a, b) => a - b);

test('the least recently used name is removed first, with its view and all content that only it needed', async () => {
  const cache = createCache();
  addArtifact(cache, 'new', 2, [2, 3], [8, 9]);
  addArtifact(cache, 'old', 1, [1, 3], [9]);
  const freed = await cache.collector.collect(async () => cache.names.size === 1, never);
  assert.deepEqual([...cache.names.keys(), ...cache.views.keys()], ['new', 'new']);
  assert.deepEqual(
    [numbers(cache.blobs), numbers(cache.layers)],
    [
      [2, 3],
      [8, 9],
    ],
  );
  const items = [{ reference: 'old', digest: digestOf(1), bytes: 10 }];
  assert.deepEqual(freed, { artifacts: 1, bytes: 10, items });
});

test('what no root reaches goes before any name', async () => {
  const cache = createCache();
  addArtifact(cache, 'a', 1, [1]);
  addView(cache, 'nameless', 99, [5, 6]);
  await cache.collector.collect(async () => !cache.blobs.has(digestOf(6)), never);
  assert.deepEqual([...cache.views.keys()], ['a']);
  assert.deepEqual(numbers(cache.blobs), [1]);
});

test('an index that was reached after the view was built stays while a volume, a pin or a name has it', async () => {
  for (const root of ['volume', 'pin', 'name'] as const) {
    const cache = createCache();
    addArtifact(cache, 'platform', 1, [1, 2]);
    cache.blobs.set(digestOf(7), 5);
    const way = [7, 1, 2];
    if (root === 'volume') cache.volumes.set('platform', way.map(digestOf));
    if (root === 'pin') cache.pins.set('index', way.map(digestOf));
    if (root === 'name') addName(cache, 'index', 9, way);
    await cache.collector.collect(async () => cache.names.size === 1 && root === 'name', never);
    assert.deepEqual(numbers(cache.blobs), [1, 2, 7], root);
  }
});

test('a name goes on with what volumes and pins hold of it, as long as they hold what it names', async () => {
  const cache = createCache();
  addName(cache, 'index', 1, [7, 1, 2, 3, 4]);
  addView(cache, 'amd64', 1, [1, 2]);
  addView(cache, 'arm64', 1, [3, 4]);
  cache.blobs.set(digestOf(7), 1);
  cache.volumes.set('amd64', [7, 1, 2].map(digestOf));
  addName(cache, 'tag', 1, [3, 4, 2]);
  await cache.collector.collect(all, never);
  assert.deepEqual(cache.names.get('index')?.holds, [7, 1, 2].map(digestOf));
  assert.deepEqual([...cache.names.keys()], ['index']);
  assert.deepEqual([numbers(cache.blobs), [...cache.views.keys()]], [[1, 2, 7], ['amd64']]);
});

test('a volume that is published after collection has begun keeps all that it shows', async () => {
  const cache = createCache();
  addArtifact(cache, 'a', 1, [1], [9]);
  addArtifact(cache, 'b', 2, [2]);
  await cache.collector.collect(async () => {
    // A whole publish, from its lease to its record, between the snapshot and the removal.
    using _lease = await cache.leases.hold([viewId('b'), digestOf(2)]);
    cache.volumes.set('b', [digestOf(2)]);
    return false;
  }, never);
  assert.deepEqual([...cache.views.keys()], ['b']);
  assert.deepEqual(numbers(cache.blobs), [2]);
});

test('a pull that began before the collection and wrote its record during it keeps what it brought', async () => {
  const cache = createCache();
  cache.blobs.set(digestOf(1), 1);
  cache.blobs.set(digestOf(2), 2);
  const lease = await cache.leases.hold([digestOf(2)]);
  await cache.collector.collect(async () => {
    addName(cache, 'just written', 3, [2]);
    lease[Symbol.dispose]();
    return false;
  }, never);
  assert.deepEqual(numbers(cache.blobs), [2]);
});

test('a name that is pulled again while collection is under way is not ended', async () => {
  const cache = createCache();
  addArtifact(cache, 'a', 1, [1]);
  await cache.collector.collect(async () => {
    using _lease = await cache.leases.hold([nameId('a')]);
    return false;
  }, never);
  assert.deepEqual([...cache.names.keys(), ...numbers(cache.blobs)], ['a', 1]);
});

test('of the views of one manifest the one used last stays with its content, and those that volumes show', async () => {
  const cache = createCache();
  for (const [key, usedAt] of [
    ['shown', 1],
    ['older', 2],
    ['latest', 3],
  ] as const)
    addView(cache, key, usedAt, [1, 2]);
  cache.volumes.set('shown', [1, 2].map(digestOf));
  await cache.collector.collect(all, never);
  assert.deepEqual([...cache.views.keys()].sort(), ['latest', 'shown']);
});

test('releasing frees what no root reaches of the digests that are named, and nothing else', async () => {
  const cache = createCache();
  addView(cache, 'gone', 1, [1, 3], [9]);
  addArtifact(cache, 'b', 2, [2, 3]);
  cache.blobs.set(digestOf(5), 0);
  const freed = await cache.collector.release([1, 3, 9].map(digestOf), never);
  assert.deepEqual([...cache.views.keys()], ['b']);
  assert.deepEqual([numbers(cache.blobs), numbers(cache.layers)], [[2, 3, 5], []]);
  const items = [
    { digest: digestOf(1), bytes: 10 },
    { digest: digestOf(9), bytes: 100 },
  ];
  assert.deepEqual(freed, { artifacts: 1, bytes: 110, items });
});

test('after a load the blobs of unpacked layers go unless a view links them, with all that nothing holds', async () => {
  const cache = createCache();
  addArtifact(cache, 'loaded', 1, [1, 2], [3, 4]);
  addView(cache, 'as files', 1, [1, 4]);
  for (const number of [3, 6]) cache.blobs.set(digestOf(number), 1);
  await cache.collector.settle([1, 2, 3, 4, 6].map(digestOf));
  assert.deepEqual(
    [numbers(cache.blobs), numbers(cache.layers)],
    [
      [1, 2, 4],
      [3, 4],
    ],
  );
});

test('what was kept about content is looked through after each sweep', async () => {
  const cache = createCache();
  await cache.collector.collect(all, never);
  assert.deepEqual(cache.forgotten, { signatures: 1, accesses: 1 });
});

test('collection never takes what a record, a mount, a pin or a lease needs, and takes all else', async () => {
  const artifact = fc.record({
    blobs: fc.uniqueArray(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 5 }),
    layers: fc.uniqueArray(fc.integer({ min: 20, max: 26 }), { maxLength: 3 }),
    index: fc.option(fc.integer({ min: 30, max: 33 }), { nil: undefined }),
    root: fc.constantFrom('none', 'name', 'volume', 'mount', 'pin', 'lease'),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(artifact, { maxLength: 8 }), async plan => {
      const cache = createCache();
      const needed = new Set<number>();
      for (const [nth, { blobs, layers, index, root }] of plan.entries()) {
        // The first blob is the manifest, which only one view uses.
        const content = [100 + nth, ...blobs, ...layers];
        const way = index === undefined || root === 'mount' ? content : [index, ...content];
        addView(cache, `v${nth}`, nth, [100 + nth, ...blobs], layers);
        if (index !== undefined) cache.blobs.set(digestOf(index), nth);
        if (root === 'name') addName(cache, `n${nth}`, nth, way);
        if (root === 'volume') cache.volumes.set(`v${nth}`, way.map(digestOf));
        if (root === 'mount') cache.mounted.add(nth % 2 === 0 ? `v${nth}` : `v${nth}/sub`);
        if (root === 'pin') cache.pins.set(`v${nth}`, way.map(digestOf));
        if (root === 'lease') await cache.leases.hold([viewId(`v${nth}`), ...way.map(digestOf)]);
        if (root !== 'none' && root !== 'name') for (const number of way) needed.add(number);
      }
      await cache.collector.collect(all, never);
      const left = new Set([...numbers(cache.blobs), ...numbers(cache.layers)]);
      assert.deepEqual(left, needed);
      const kept = plan.filter(({ root }) => root !== 'none' && root !== 'name').length;
      assert.equal(cache.views.size, kept);
      for (const { descriptor, holds } of cache.names.values())
        for (const digest of [descriptor.digest, ...holds])
          assert.ok(left.has(Number.parseInt(digest.slice(7), 16)), 'a name has no more than what is held');
    }),
  );
});

function createDisk(cache: Cache, total: number, other = 0, usedInodes = 0) {
  return {
    usage: async () => {
      const usedBytes = cache.bytes() + other;
      return {
        totalBytes: total,
        usedBytes,
        availableBytes: total - usedBytes,
        totalInodes: usedInodes === 0 ? 0 : 100,
        usedInodes,
      };
    },
  };
}

const layer = (number: number, size: number) => ({
  descriptor: { digest: digestOf(number), size, mediaType: '', annotations: {} },
  label: 'l',
  name: 'n',
  form: 'file' as const,
});

test('before a pull, space is freed down to the low mark, and not a byte further', async () => {
  const cache = createCache();
  for (let index = 0; index < 8; index++) addArtifact(cache, `v${index}`, index, [index + 1]);
  const room = createDiskSpace(
    { disk: createDisk(cache, 100), collector: cache.collector, layerSizes: new Map() },
    { cacheHigh: 80, diskMax: 80, cacheLow: 60 },
  );
  using _room = await room.reserve('r', [layer(50, 10)], [layer(50, 10)], () => 10, never);
  assert.deepEqual([...cache.views.keys()], ['v3', 'v4', 'v5', 'v6', 'v7']);
});

test('one sweep looks at the whole cache once, however much it frees', async () => {
  const cache = createCache();
  for (let index = 0; index < 20; index++) cache.blobs.set(digestOf(index), index);
  const limits = { cacheHigh: 80, diskMax: 80, cacheLow: 40, cacheMax: 100 };
  const room = createDiskSpace(
    { disk: createDisk(cache, 10_000), collector: cache.collector, layerSizes: new Map() },
    limits,
  );
  await room.relieve(never);
  assert.equal(cache.bytes(), 50);
  assert.equal(cache.looks(), 4, 'before, for the log, in the sweep, and after');
});

test('a pull that fits collects nothing', async () => {
  const cache = createCache();
  for (let index = 0; index < 7; index++) addArtifact(cache, `v${index}`, index, [index + 1]);
  const room = createDiskSpace(
    { disk: createDisk(cache, 100), collector: cache.collector, layerSizes: new Map() },
    { cacheHigh: 80, diskMax: 80, cacheLow: 60 },
  );
  using _room = await room.reserve('r', [layer(50, 10)], [layer(50, 10)], () => 10, never);
  assert.equal(cache.views.size, 7);
});

test('a pull that cannot fit fails before its first byte, and the error has needed and available space', async () => {
  const cache = createCache();
  addArtifact(cache, 'v', 1, [1]);
  cache.volumes.set('v', [digestOf(1)]);
  const room = createDiskSpace(
    { disk: createDisk(cache, 100, 40), collector: cache.collector, layerSizes: new Map() },
    { cacheHigh: 80, diskMax: 80, cacheLow: 60 },
  );
  await assert.rejects(
    room.reserve('r/x:1', [layer(50, 31)], [layer(50, 31)], () => 31, never),
    /r\/x:1 needs 31 B more .* room for 30 B below --disk-max \(80\)/,
  );
});

test('two pulls do not both take the last space', async () => {
  const cache = createCache();
  const room = createDiskSpace(
    { disk: createDisk(cache, 100), collector: cache.collector, layerSizes: new Map() },
    { cacheHigh: 80, diskMax: 80, cacheLow: 60 },
  );
  const first = await room.reserve('a', [layer(50, 50)], [layer(50, 50)], () => 50, never);
  await assert.rejects(
    room.reserve('b', [layer(51, 50)], [layer(51, 50)], () => 50, never),
    /room for 30 B/,
  );
  first[Symbol.dispose]();
  using _second = await room.reserve('b', [layer(51, 50)], [layer(51, 50)], () => 50, never);
});

test('a pull that goes on needs room for what it lacks, and one that could never be whole collects nothing', async () => {
  const cache = createCache();
  for (let index = 0; index < 4; index++) addArtifact(cache, `v${index}`, index, [index + 1]);
  const room = createDiskSpace(
    { disk: createDisk(cache, 100, 20), collector: cache.collector, layerSizes: new Map() },
    { cacheHigh: 80, diskMax: 80, cacheLow: 60 },
  );
  using _room = await room.reserve('r', [layer(50, 40)], [layer(50, 40)], () => 15, never);
  assert.equal(cache.views.size, 4);
  await assert.rejects(
    room.reserve('r', [layer(50, 61)], [layer(50, 61)], () => 15, never),
    /needs 61 B .* room for 60 B/,
  );
  assert.equal(cache.views.size, 4);
});

test('the cache keeps below its own maximum on an empty disk', async () => {
  const cache = createCache();
  for (let index = 0; index < 5; index++) addArtifact(cache, `v${index}`, index, [index + 1]);
  const limits = { cacheHigh: 80, diskMax: 80, cacheLow: 80, cacheMax: 50 };
  const room = createDiskSpace(
    { disk: createDisk(cache, 10_000), collector: cache.collector, layerSizes: new Map() },
    limits,
  );
  using _room = await room.reserve('r', [layer(50, 20)], [layer(50, 20)], () => 20, never);
  assert.deepEqual([...cache.views.keys()], ['v2', 'v3', 'v4']);
});

test('the error names the exceeded limit: the disk, its inodes, or the cache', async () => {
  const cache = createCache();
  const refuses = (disk: ReturnType<typeof createDisk>, cacheMax: number, why: RegExp) =>
    assert.rejects(
      createDiskSpace(
        { disk, collector: cache.collector, layerSizes: new Map() },
        { cacheHigh: 80, diskMax: 80, cacheLow: 60, cacheMax },
      ).reserve('r', [layer(50, 20)], [layer(50, 20)], () => 20, never),
      { code: 'exhausted', message: why },
    );
  await refuses(
    createDisk(cache, 20),
    10,
    /^r needs 20 B more .* its disk has room for 16 B below --disk-max \(80\)/,
  );
  await refuses(
    createDisk(cache, 100, 0, 95),
    100,
    /^r needs 1 inodes more .* its disk has 0 below --disk-max \(80\)/,
  );
  await refuses(createDisk(cache, 100), 10, /it may have 10 B in all \(--cache-max\)/);
});

test('an artifact above the maximum size is refused, however much space there is', async () => {
  const cache = createCache();
  const limits = { cacheHigh: 80, diskMax: 80, cacheLow: 60, maxArtifactSize: 15 };
  const room = createDiskSpace(
    { disk: createDisk(cache, 10_000), collector: cache.collector, layerSizes: new Map() },
    limits,
  );
  await assert.rejects(
    room.reserve('r', [layer(50, 20)], [], () => 0, never),
    /--max-artifact-size allows 15 B/,
  );
});

test('a disk above the high mark is relieved of the least recently used, below the low mark and no further', async () => {
  const cache = createCache();
  for (let index = 0; index < 9; index++) addArtifact(cache, `v${index}`, 100 - index, [index + 1]);
  cache.volumes.set('v8', [digestOf(9)]); // the least recently used, and in use
  const limits = { cacheHigh: 80, diskMax: 80, cacheLow: 60 };
  const room = createDiskSpace(
    { disk: createDisk(cache, 100), collector: cache.collector, layerSizes: new Map() },
    limits,
  );
  await room.relieve(never);
  assert.deepEqual([...cache.views.keys()], ['v0', 'v1', 'v2', 'v3', 'v4', 'v8']);
  assert.equal(cache.bytes(), 60);
});

test('a disk that is at the high mark, and not above it, is left alone', async () => {
  const cache = createCache();
  for (let index = 0; index < 8; index++) addArtifact(cache, `v${index}`, index, [index + 1]);
  cache.blobs.set(digestOf(50), 0); // content without a view would be the first to go
  const limits = { cacheHigh: 90, diskMax: 90, cacheLow: 60 };
  const room = createDiskSpace(
    { disk: createDisk(cache, 100), collector: cache.collector, layerSizes: new Map() },
    limits,
  );
  await room.relieve(never);
  assert.equal(cache.bytes(), 90);
});

test('what a pull under way has yet to bring counts as there when the disk is relieved', async () => {
  const cache = createCache();
  for (let index = 0; index < 6; index++) addArtifact(cache, `v${index}`, index, [index + 1]);
  const limits = { cacheHigh: 80, diskMax: 80, cacheLow: 60 };
  const room = createDiskSpace(
    { disk: createDisk(cache, 100), collector: cache.collector, layerSizes: new Map() },
    limits,
  );
  let remaining = 20;
  using _pull = await room.reserve('r', [layer(50, 20)], [layer(50, 20)], () => remaining, never);
  await room.relieve(never);
  assert.equal(cache.views.size, 6);
  remaining = 30;
  await room.relieve(never);
  assert.deepEqual([...cache.views.keys()], ['v3', 'v4', 'v5']);
});

test('a cache above its own maximum, or a disk short of inodes, is relieved though bytes are free', async () => {
  const limits = { cacheHigh: 80, diskMax: 80, cacheLow: 60 };
  const large = createCache();
  for (let index = 0; index < 5; index++) addArtifact(large, `v${index}`, index, [index + 1]);
  const bounded = { ...limits, cacheMax: 40 };
  await createDiskSpace(
    { disk: createDisk(large, 10_000), collector: large.collector, layerSizes: new Map() },
    bounded,
  ).relieve(never);
  assert.deepEqual([...large.views.keys()], ['v2', 'v3', 'v4']);
  const many = createCache();
  addArtifact(many, 'v', 1, [1]);
  await createDiskSpace(
    { disk: createDisk(many, 10_000, 0, 81), collector: many.collector, layerSizes: new Map() },
    limits,
  ).relieve(never);
  assert.equal(many.views.size, 0);
});
