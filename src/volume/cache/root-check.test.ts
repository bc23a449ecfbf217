import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDigest } from '../../oci/digest.ts';
import { findBrokenRoots } from './root-check.ts';

const digestOf = (letter: string) => parseDigest(`sha256:${letter.repeat(64)}`);
const [blob, layer, gone, lost] = [digestOf('a'), digestOf('b'), digestOf('c'), digestOf('d')];

test('volumes and pins that hold what the cache lacks are named, and the others are not', async () => {
  const volume = {
    volumeId: 'v',
    fingerprint: '',
    anywhere: false,
    reference: 'model',
    resolved: 'r.test/model:v1',
    digest: blob,
    manifest: blob,
    view: 'k',
    bytes: 0,
    inodes: 0,
    publishedAt: 0,
  };
  const held = [blob, layer];
  const lateView = {
    key: 'late',
    manifest: blob,
    reference: 'r.test/model:v1',
    blobs: [gone],
    layers: [],
    bytes: 0,
    inodes: 0,
    late: true,
    path: '/views/late.erofs',
    usedAt: 0,
  };
  const found = await findBrokenRoots(
    {
      volumes: {
        list: async () => [
          { ...volume, targetPath: '/whole', holds: held },
          { ...volume, targetPath: '/broken', holds: [...held, gone, lost] },
          { ...volume, targetPath: '/late', holds: [...held, gone], view: 'late' },
        ],
      },
      pins: {
        list: async () => [
          { reference: 'r.test/whole:v1', digest: blob, pinnedAt: 0, holds: held },
          { reference: 'r.test/broken:v1', digest: blob, pinnedAt: 0, holds: [gone] },
        ],
      },
      blobs: { size: async digest => (digest === blob ? 1 : undefined) },
      layers: { has: async digest => digest === layer },
      views: { find: async key => (key === 'late' ? lateView : undefined) },
    },
    new AbortController().signal,
  );
  assert.deepEqual(
    found.map(({ name }) => name),
    ['/broken', 'r.test/broken:v1'],
  );
  assert.match(
    found[0]?.problem ?? '',
    /^the volume of r\.test\/model:v1 holds sha256:c{64} and 1 more, which the cache lacks/,
  );
  assert.match(found[1]?.problem ?? '', /^the pin holds sha256:c{64}, which the cache lacks/);
});
