import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { type Digest, toDigest } from '../../oci/digest.ts';
import type { LayerPlan } from '../../oci/plan.ts';
import type { Collector } from './collector.ts';
import type { Limits } from './disk-marks.ts';
import { createDiskSpace } from './disk-space.ts';

const none = { bytes: 0, inodes: 0 };
const never = new AbortController().signal;
const digestOf = (nth: number): Digest => toDigest('sha256', nth.toString(16).padStart(64, '0'));
const tar = (nth: number, size: number): LayerPlan => ({
  form: 'unpacked',
  name: '',
  label: `layer ${nth}`,
  descriptor: { mediaType: '', digest: digestOf(nth), size, annotations: {} },
});

/**
 * A disk of 1,000 bytes and 100 inodes, partly used by others and reserved for root, and a cache that garbage
 * collection can empty.
 */
function openWorld(limits: Partial<Limits> = {}, others = { bytes: 0, inodes: 0 }, keptForRoot = 0) {
  const disk = { cache: 0, bytes: others.bytes, inodes: others.inodes };
  let collected = 0;
  const collector: Collector = {
    async collect(enough) {
      collected++;
      while (disk.cache > 0 && !(await enough(disk.cache))) disk.cache -= 10;
      return { artifacts: 0, bytes: 0, items: [] };
    },
    preview: async () => ({ artifacts: 0, bytes: 0, items: [] }),
    release: async () => ({ artifacts: 0, bytes: 0 }),
    settle: async () => undefined,
    cacheBytes: async () => disk.cache,
  };
  const usage = async () => {
    const usedBytes = disk.bytes + disk.cache;
    return {
      totalBytes: 1000,
      usedBytes,
      availableBytes: 1000 - usedBytes - keptForRoot,
      totalInodes: 100,
      usedInodes: disk.inodes,
    };
  };
  const room = createDiskSpace(
    { disk: { usage }, collector, layerSizes: new Map() },
    { cacheHigh: 75, cacheLow: 70, diskMax: 90, ...limits },
  );
  return { room, disk, collected: () => collected };
}

test('a disk between the mark of collection and that of pulls takes pulls', async () => {
  const { room, collected } = openWorld({}, { bytes: 800, inodes: 80 });
  const reserve = (bytes: number) => room.reserve('r', [tar(1, 30)], [tar(1, 30)], () => bytes, never);
  using _ = await reserve(90);
  assert.equal(collected(), 1, 'what can be collected is');
  await assert.rejects(reserve(11), {
    code: 'exhausted',
    message: /needs 11 B more .* room for 10 B below --disk-max \(90\)/,
  });
});

test('what is kept for root is in use, so that as much stays available as kubelet wants of the whole disk', async () => {
  const { room } = openWorld({}, { bytes: 800, inodes: 0 }, 50);
  const reserve = (bytes: number) => room.reserve('r', [tar(1, 10)], [tar(1, 10)], () => bytes, never);
  await assert.rejects(reserve(51), { code: 'exhausted', message: /needs 51 B more .* room for 50 B below/ });
  using _ = await reserve(50);
});

test('a layer grows to the mark and not beyond, and the next pull of it is refused before it begins', async () => {
  const { room, disk } = openWorld();
  const pull = () => room.reserve('r/x:1', [tar(1, 10)], [tar(1, 10)], () => 30, never);
  {
    using _pull = await pull();
    using layer = room.unpacking(tar(1, 10), never);
    const grow = async (): Promise<void> => {
      await layer.grow({ bytes: 200, inodes: 1 }, { bytes: disk.bytes, inodes: 0 });
      disk.bytes += 200;
    };
    for (let nth = 0; nth < 4; nth++) await grow();
    await assert.rejects(grow(), {
      code: 'exhausted',
      message: /^layer sha256:0+1, as it is unpacked, needs 200 B more .* below --disk-max \(90\)/,
    });
    assert.equal(disk.bytes, 800);
    disk.bytes = 0; // the partial file is removed
  }
  disk.bytes = 100;
  await assert.rejects(pull(), { code: 'exhausted', message: /^r\/x:1 needs 1\.0 KiB more/ });
  disk.bytes = 0;
  await assert.rejects(pull(), { code: 'exhausted', message: /room for 900 B/ });
});

test('a layer that grows has others collected at the mark of pulls', async () => {
  const { room, disk } = openWorld();
  disk.cache = 600;
  using _pull = await room.reserve('r', [tar(1, 10)], [tar(1, 10)], () => 20, never);
  using layer = room.unpacking(tar(1, 10), never);
  await layer.grow({ bytes: 400, inodes: 1 }, none);
  assert.ok(disk.cache <= 300, `${disk.cache}`);
  layer.learn({ bytes: 400, bodies: 1 });
});

test('inodes are granted to the mark and no further, to all layers together', async () => {
  const { room, disk } = openWorld({}, { bytes: 0, inodes: 10 });
  using first = room.unpacking(tar(1, 10), never);
  using second = room.unpacking(tar(2, 10), never);
  await first.grow({ bytes: 1, inodes: 50 }, none);
  await assert.rejects(second.grow({ bytes: 1, inodes: 31 }, none), {
    code: 'exhausted',
    message: /needs 31 inodes more .* its disk has 30 below --disk-max \(90\)/,
  });
  disk.inodes += 50;
  await first.grow({ bytes: 0, inodes: 30 }, { bytes: 1, inodes: 50 });
});

test('the bound of the cache counts what is unpacked and not in it yet', async () => {
  const { room, disk } = openWorld({ cacheMax: 500 });
  using layer = room.unpacking(tar(1, 10), never);
  await layer.grow({ bytes: 300, inodes: 1 }, none);
  disk.bytes += 300;
  await assert.rejects(layer.grow({ bytes: 300, inodes: 1 }, { bytes: 300, inodes: 0 }), {
    code: 'exhausted',
    message: /it may have 500 B in all \(--cache-max\)/,
  });
});

test('what a pull keeps for a layer is not asked for again as it is unpacked', async () => {
  const { room, disk } = openWorld();
  using _pull = await room.reserve('r', [tar(1, 290)], [tar(1, 290)], () => 580, never);
  disk.bytes = 290; // it is downloaded
  using layer = room.unpacking(tar(1, 290), never);
  await layer.grow({ bytes: 500, inodes: 1 }, none);
  disk.bytes += 500;
});

test('nothing is collected for a layer before its bytes are verified', async () => {
  const { room, disk, collected } = openWorld();
  disk.cache = 600;
  const verified = Promise.withResolvers<void>();
  using layer = room.unpacking(tar(1, 10), never, verified.promise);
  await layer.grow({ bytes: 100, inodes: 1 }, none);
  disk.bytes += 100;
  const growing = layer.grow({ bytes: 100, inodes: 0 }, { bytes: 100, inodes: 1 });
  let granted = false;
  void growing.finally(() => (granted = true));
  for (let turns = 0; turns < 100; turns++) await setImmediate();
  assert.deepEqual([granted, collected(), disk.cache], [false, 0, 600]);
  verified.resolve();
  await growing;
  while (collected() === 0) await setImmediate();
});

test('a layer whose bytes turn out wrong gets no more space', async () => {
  const { room, disk, collected } = openWorld({}, { bytes: 800, inodes: 0 });
  const verified = Promise.withResolvers<void>();
  using layer = room.unpacking(tar(1, 10), never, verified.promise);
  verified.reject(new Error('wrong'));
  await assert.rejects(layer.grow({ bytes: 10, inodes: 1 }, none), /wrong/);
  assert.deepEqual([collected(), disk.bytes], [0, 800]);
});

test('no pull reserves less than nothing', async () => {
  const { room } = openWorld();
  await assert.rejects(
    room.reserve('r', [], [], () => -1, never),
    /r would reserve -1 bytes of the disk/,
  );
});
