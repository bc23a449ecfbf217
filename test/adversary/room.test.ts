import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toDigest } from '../../src/oci/digest.ts';
import type { LayerPlan } from '../../src/oci/plan.ts';
import type { Collector } from '../../src/volume/cache/collector.ts';
import { createDiskSpace } from '../../src/volume/cache/disk-space.ts';

const GB = 1_000_000_000;
const signal = new AbortController().signal;
const layer = (size: number): LayerPlan => ({
  form: 'file',
  name: 'f',
  label: 'layer 1',
  descriptor: { mediaType: '', digest: toDigest('sha256', '0'.repeat(64)), size, annotations: {} },
});

for (const [what, cacheMax, size] of [
  ['the whole disk', undefined, 90 * GB],
  ['the whole cache', 30 * GB, 31 * GB],
] as const) {
  test(`a manifest that claims more than ${what} does not empty the cache`, async () => {
    let collected = 0;
    const collector: Collector = {
      collect: async () => {
        collected++;
        return { artifacts: 0, bytes: 0, items: [] };
      },
      preview: async () => ({ artifacts: 0, bytes: 0, items: [] }),
      release: async () => ({ artifacts: 0, bytes: 0 }),
      settle: async () => undefined,
      cacheBytes: async () => 30 * GB,
    };
    const usage = async () => ({
      totalBytes: 100 * GB,
      usedBytes: 60 * GB,
      availableBytes: 40 * GB,
      totalInodes: 0,
      usedInodes: 0,
    });
    const limits = {
      cacheHigh: 75,
      diskMax: 75,
      cacheLow: 70,
      ...(cacheMax === undefined ? {} : { cacheMax }),
    };
    const room = createDiskSpace({ disk: { usage }, collector, layerSizes: new Map() }, limits);
    const reserve = (bytes: number) => room.reserve('r', [layer(bytes)], [layer(bytes)], () => bytes, signal);
    await assert.rejects(reserve(size), { code: 'exhausted', message: /cannot free enough/ });
    assert.equal(collected, 0);
    await assert.rejects(reserve(20 * GB), { code: 'exhausted', message: /cannot free enough/ });
    assert.equal(collected, 1, 'what could have room has others collected for it');
  });
}
