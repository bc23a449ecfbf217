import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseDigest, type Digest } from '../oci/digest.ts';
import { createCollector } from './collector.ts';
import type { Held, View } from './contracts/store.ts';
import { createHolds, viewId } from './holds.ts';
import { createRoom } from './room.ts';

const never = new AbortController().signal;
const digestOf = (number: number): Digest => parseDigest(`sha256:${number.toString(16).padStart(64, '0')}`);

/** A cache in memory: blobs of 10 bytes, layers of 100, views over them. */
function createCache() {
  const blobs = new Map<Digest, number>();
  const layers = new Map<Digest, number>();
  const views = new Map<string, View>();
  const names = new Set<Digest>();
  const volumes = new Set<string>();
  const pins = new Set<Digest>();
  const manifests = new Map<Digest, Uint8Array>();
  const mounted = new Set<string>();
  const holds = createHolds();
  let looks = 0;
  const items = (map: Map<Digest, number>, bytes: number): Held[] =>
    [...map].map(([digest, since]) => ({ digest, bytes, inodes: 1, since }));
  const unused = (): never => assert.fail('not part of collection');
  const collector = createCollector({
    holds,
    signatures: { sweep: async () => undefined },
    authority: { sweep: async () => undefined },
    viewsFolder: '/views',
    blobs: {
      size: async digest => (blobs.has(digest) ? 10 : undefined),
      remove: async digest => void blobs.delete(digest),
      list: async () => {
        looks++;
        return items(blobs, 10);
      },
      read: async digest => manifests.get(digest) ?? Promise.reject(new Error('not held')),
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
      readToc: unused,
      stage: unused,
      path: unused,
      check: unused,
    },
    views: {
      find: async key => views.get(key),
      remove: async key => void views.delete(key),
      list: async () => [...views.values()],
      build: unused,
      touch: unused,
      isAsBuilt: unused,
      compare: unused,
      distrust: unused,
      shows: unused,
      setAside: unused,
    },
    names: {
      list: async () =>
        [...names].map(digest => ({
          reference: digest,
          descriptor: { digest, size: 10, mediaType: '', annotations: {} },
          resolvedAt: 0,
          authorised: 'anonymous' as const,
        })),
      remove: async reference => void names.delete(parseDigest(reference)),
      find: unused,
      put: unused,
    },
    volumes: { listAll: async () => [...volumes].map(view => ({ ...record, view })) },
    pins: { listAll: async () => [...pins].map(digest => ({ reference: '', digest, pinnedAt: 0 })) },
    mounter: {
      list: async () => [...mounted].map(key => ({ target: '/t', source: `/views/${key}`, dead: false })),
      state: unused,
      mount: unused,
      unmount: unused,
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
    manifests,
    mounted,
    holds,
    collector,
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

function addView(
  cache: ReturnType<typeof createCache>,
  key: string,
  usedAt: number,
  blobs: readonly number[],
  layers: readonly number[] = [],
): void {
  for (const number of blobs) cache.blobs.set(digestOf(number), usedAt);
  for (const number of layers) cache.layers.set(digestOf(number), usedAt);
  cache.views.set(key, {
    key,
    manifest: digestOf(blobs[0] ?? 0),
    reference: key,
    blobs: blobs.map(digestOf),
    layers: layers.map(digestOf),
    bytes: 0,
    inodes: 0,
    path: `/views/${key}`,
    usedAt,
  });
}

test('the view least recently used goes first, with what only it held', async () => {
  const cache = createCache();
  addView(cache, 'old', 1, [1, 3], [9]);
  addView(cache, 'new', 2, [2, 3], [8, 9]);
  const freed = await cache.collector.collect(async () => cache.views.size === 1, never);
  assert.deepEqual([...cache.views.keys()], ['new']);
  assert.deepEqual([...cache.blobs.keys()].sort(), [2, 3].map(digestOf));
  assert.deepEqual([...cache.layers.keys()].sort(), [8, 9].map(digestOf));
  assert.deepEqual(freed, { artifacts: 1, bytes: 10 });
});

test('what belongs to no view goes before any view', async () => {
  const cache = createCache();
  addView(cache, 'a', 1, [1]);
  cache.blobs.set(digestOf(5), 99);
  await cache.collector.collect(async () => !cache.blobs.has(digestOf(5)), never);
  assert.deepEqual([...cache.views.keys()], ['a']);
});

test('a view that is published after collection has begun stays, with all that it shows', async () => {
  const cache = createCache();
  addView(cache, 'a', 1, [1], [9]);
  addView(cache, 'b', 2, [2]);
  await cache.collector.collect(async () => {
    cache.volumes.add('b'); // a whole publish, from its hold to its record, between the picture and the removal
    return false;
  }, never);
  assert.deepEqual([...cache.views.keys()], ['b']);
  assert.deepEqual([...cache.blobs.keys()], [digestOf(2)]);
});

test('names of what is gone are forgotten', async () => {
  const cache = createCache();
  addView(cache, 'a', 1, [1]);
  cache.names.add(digestOf(1));
  await cache.collector.collect(async () => false, never);
  assert.equal(cache.names.size, 0);
});

test('discarding frees the views that are named, and no other', async () => {
  const cache = createCache();
  addView(cache, 'a', 1, [1]);
  addView(cache, 'b', 2, [2]);
  cache.blobs.set(digestOf(5), 0);
  await cache.collector.discard(new Set(['b']), never);
  assert.deepEqual([...cache.views.keys()], ['a']);
  assert.ok(cache.blobs.has(digestOf(5)));
});

test('what a pin holds stays without its view, too', async () => {
  const cache = createCache();
  const descriptor = (number: number) => ({ mediaType: 'm/t', digest: digestOf(number), size: 10 });
  const parts = { config: descriptor(3), layers: [descriptor(4), descriptor(5)] };
  const json = (value: object): Buffer => Buffer.from(JSON.stringify({ schemaVersion: 2, ...value }));
  cache.manifests.set(digestOf(1), json({ manifests: [descriptor(2), descriptor(7)] }));
  cache.manifests.set(digestOf(2), json(parts));
  cache.pins.add(digestOf(1));
  for (const number of [1, 2, 3, 4, 6]) cache.blobs.set(digestOf(number), 1);
  cache.layers.set(digestOf(5), 1);
  addView(cache, 'other', 1, [8, 4]);
  await cache.collector.collect(async () => false, never);
  assert.deepEqual([...cache.blobs.keys()].sort(), [1, 2, 3, 4].map(digestOf));
  assert.deepEqual([...cache.layers.keys()], [digestOf(5)]);
  assert.equal(cache.views.size, 0);
});

test('collection never takes what a record, a mount, a pin or a hold needs, and takes all else', async () => {
  const view = fc.record({
    blobs: fc.uniqueArray(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 5 }),
    layers: fc.uniqueArray(fc.integer({ min: 20, max: 26 }), { maxLength: 3 }),
    root: fc.constantFrom('none', 'record', 'mount', 'mount of a part', 'pin', 'hold'),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(view, { maxLength: 8 }), async plan => {
      const cache = createCache();
      for (const [index, { blobs, layers, root }] of plan.entries()) {
        // The first blob is the manifest: unlike the rest it belongs to one view.
        const own = [100 + index, ...blobs];
        addView(cache, `v${index}`, index, own, layers);
        if (root === 'record') cache.volumes.add(`v${index}`);
        if (root === 'mount') cache.mounted.add(`v${index}`);
        if (root === 'mount of a part') cache.mounted.add(`v${index}/sub`);
        if (root === 'pin') cache.pins.add(digestOf(100 + index));
        if (root === 'hold')
          await cache.holds.hold([viewId(`v${index}`), ...[...own, ...layers].map(digestOf)]);
      }
      await cache.collector.collect(async () => false, never);
      const needed = plan.flatMap(({ blobs, layers, root }, index) =>
        root === 'none' ? [] : [100 + index, ...blobs, ...layers],
      );
      assert.deepEqual(
        [...cache.blobs.keys(), ...cache.layers.keys()].sort(),
        [...new Set(needed)].map(digestOf).sort(),
      );
      assert.equal(cache.views.size, plan.filter(({ root }) => root !== 'none').length);
    }),
  );
});

function createDisk(cache: ReturnType<typeof createCache>, total: number, other = 0, usedInodes = 0) {
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

test('room is made down to the low mark before a pull, and not a byte further', async () => {
  const cache = createCache();
  for (let index = 0; index < 8; index++) addView(cache, `v${index}`, index, [index + 1]);
  const room = createRoom(
    { disk: createDisk(cache, 100), collector: cache.collector },
    { cacheHigh: 80, cacheLow: 60 },
  );
  using _room = await room.reserve('r', [layer(50, 10)], [layer(50, 10)], () => 10, never);
  assert.deepEqual([...cache.views.keys()], ['v3', 'v4', 'v5', 'v6', 'v7']);
});

test('one sweep looks at the whole cache once, however much it frees', async () => {
  const cache = createCache();
  for (let index = 0; index < 20; index++) cache.blobs.set(digestOf(index), index);
  const limits = { cacheHigh: 80, cacheLow: 40, cacheMax: 100 };
  const room = createRoom({ disk: createDisk(cache, 10_000), collector: cache.collector }, limits);
  await room.relieve(never);
  assert.equal(cache.bytes(), 50);
  assert.equal(cache.looks(), 3, 'before, in the sweep, and after');
});

test('a pull that fits collects nothing', async () => {
  const cache = createCache();
  for (let index = 0; index < 7; index++) addView(cache, `v${index}`, index, [index + 1]);
  const room = createRoom(
    { disk: createDisk(cache, 100), collector: cache.collector },
    { cacheHigh: 80, cacheLow: 60 },
  );
  using _room = await room.reserve('r', [layer(50, 10)], [layer(50, 10)], () => 10, never);
  assert.equal(cache.views.size, 7);
});

test('a pull that cannot fit fails before its first byte and names need and room', async () => {
  const cache = createCache();
  addView(cache, 'v', 1, [1]);
  cache.volumes.add('v');
  const room = createRoom(
    { disk: createDisk(cache, 100, 40), collector: cache.collector },
    { cacheHigh: 80, cacheLow: 60 },
  );
  await assert.rejects(
    room.reserve('r/x:1', [layer(50, 31)], [layer(50, 31)], () => 31, never),
    /r\/x:1 needs 31 B more .* room for 30 B below --cache-high \(80\)/,
  );
});

test('two pulls do not both take the last room', async () => {
  const cache = createCache();
  const room = createRoom(
    { disk: createDisk(cache, 100), collector: cache.collector },
    { cacheHigh: 80, cacheLow: 60 },
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
  for (let index = 0; index < 4; index++) addView(cache, `v${index}`, index, [index + 1]);
  const room = createRoom(
    { disk: createDisk(cache, 100, 20), collector: cache.collector },
    { cacheHigh: 80, cacheLow: 60 },
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
  for (let index = 0; index < 5; index++) addView(cache, `v${index}`, index, [index + 1]);
  const limits = { cacheHigh: 80, cacheLow: 80, cacheMax: 50 };
  const room = createRoom({ disk: createDisk(cache, 10_000), collector: cache.collector }, limits);
  using _room = await room.reserve('r', [layer(50, 20)], [layer(50, 20)], () => 20, never);
  assert.deepEqual([...cache.views.keys()], ['v2', 'v3', 'v4']);
});

test('what is in the way is named: the disk, its inodes, or the bound of the cache', async () => {
  const cache = createCache();
  const refuses = (disk: ReturnType<typeof createDisk>, cacheMax: number, why: RegExp) =>
    assert.rejects(
      createRoom({ disk, collector: cache.collector }, { cacheHigh: 80, cacheLow: 60, cacheMax }).reserve(
        'r',
        [layer(50, 20)],
        [layer(50, 20)],
        () => 20,
        never,
      ),
      { code: 'exhausted', message: why },
    );
  await refuses(
    createDisk(cache, 20),
    10,
    /^r needs 20 B more .* its disk has room for 16 B below --cache-high \(80\)/,
  );
  await refuses(
    createDisk(cache, 100, 0, 95),
    100,
    /95 of 100 inodes of its disk are in use, above --cache-high \(80\)/,
  );
  await refuses(createDisk(cache, 100), 10, /it may have 10 B in all \(--cache-max\)/);
});

test('an artifact above the largest size is refused whatever room there is', async () => {
  const cache = createCache();
  const limits = { cacheHigh: 80, cacheLow: 60, maxArtifactSize: 15 };
  const room = createRoom({ disk: createDisk(cache, 10_000), collector: cache.collector }, limits);
  await assert.rejects(
    room.reserve('r', [layer(50, 20)], [], () => 0, never),
    /--max-artifact-size allows 15 B/,
  );
});

test('a disk above the high mark is relieved of the least recently used, below the low mark and no further', async () => {
  const cache = createCache();
  for (let index = 0; index < 9; index++) addView(cache, `v${index}`, 100 - index, [index + 1]);
  cache.volumes.add('v8'); // the least recently used of all, and in use
  const limits = { cacheHigh: 80, cacheLow: 60 };
  const room = createRoom({ disk: createDisk(cache, 100), collector: cache.collector }, limits);
  await room.relieve(never);
  assert.deepEqual([...cache.views.keys()], ['v0', 'v1', 'v2', 'v3', 'v4', 'v8']);
  assert.equal(cache.bytes(), 60);
});

test('a disk that is at the high mark, and not above it, is left alone', async () => {
  const cache = createCache();
  for (let index = 0; index < 8; index++) addView(cache, `v${index}`, index, [index + 1]);
  cache.blobs.set(digestOf(50), 0); // what belongs to no view would be the first to go
  const limits = { cacheHigh: 90, cacheLow: 60 };
  const room = createRoom({ disk: createDisk(cache, 100), collector: cache.collector }, limits);
  await room.relieve(never);
  assert.equal(cache.bytes(), 90);
});

test('what a pull under way has yet to bring counts as there when the disk is relieved', async () => {
  const cache = createCache();
  for (let index = 0; index < 6; index++) addView(cache, `v${index}`, index, [index + 1]);
  const limits = { cacheHigh: 80, cacheLow: 60 };
  const room = createRoom({ disk: createDisk(cache, 100), collector: cache.collector }, limits);
  let remaining = 20;
  using _pull = await room.reserve('r', [layer(50, 20)], [layer(50, 20)], () => remaining, never);
  await room.relieve(never);
  assert.equal(cache.views.size, 6);
  remaining = 30;
  await room.relieve(never);
  assert.deepEqual([...cache.views.keys()], ['v3', 'v4', 'v5']);
});

test('a cache above its own maximum, or a disk short of inodes, is relieved though bytes are free', async () => {
  const limits = { cacheHigh: 80, cacheLow: 60 };
  const large = createCache();
  for (let index = 0; index < 5; index++) addView(large, `v${index}`, index, [index + 1]);
  const bounded = { ...limits, cacheMax: 40 };
  await createRoom({ disk: createDisk(large, 10_000), collector: large.collector }, bounded).relieve(never);
  assert.deepEqual([...large.views.keys()], ['v2', 'v3', 'v4']);
  const many = createCache();
  addView(many, 'v', 1, [1]);
  await createRoom({ disk: createDisk(many, 10_000, 0, 81), collector: many.collector }, limits).relieve(
    never,
  );
  assert.equal(many.views.size, 0);
});
