import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sha256 } from '../../../test/support/oci/tar.ts';
import { type Digest, parseDigest } from '../../oci/digest.ts';
import { ociIndex, ociManifest } from '../../oci/manifest.ts';
import type { Root } from '../../ports/records.ts';
import { inheritHolds } from './inheritance.ts';

const hashBytes = (bytes: Buffer): Digest => parseDigest(sha256(bytes));
const blobs = new Map<Digest, Buffer>();
const add = (content: string | object): Digest => {
  const bytes = Buffer.from(typeof content === 'string' ? content : JSON.stringify(content));
  const digest = hashBytes(bytes);
  blobs.set(digest, bytes);
  return digest;
};
const describe = (digest: Digest, mediaType = 'text/plain') => ({ mediaType, digest, size: 1 });

const config = add('{}');
const file = add('file');
const unpacked = hashBytes(Buffer.from('a layer, unpacked'));
const absent = hashBytes(Buffer.from('what no view needed'));
const built = hashBytes(Buffer.from('what only the view knows'));
const manifest = add({
  schemaVersion: 2,
  mediaType: ociManifest,
  config: describe(config),
  layers: [file, unpacked, absent].map(digest => describe(digest)),
});
const otherPlatform = hashBytes(Buffer.from('a manifest for others'));
const index = add({
  schemaVersion: 2,
  mediaType: ociIndex,
  manifests: [manifest, otherPlatform].map(digest => describe(digest, ociManifest)),
});
const broken = add('no manifest');

const volume = {
  volumeId: 'v',
  fingerprint: '',
  anywhere: false,
  reference: 'model',
  resolved: 'r.test/model:v1',
  digest: index,
  manifest,
  view: 'k',
  bytes: 0,
  inodes: 0,
  publishedAt: 0,
};
const name = (reference: string, digest: Digest, holds: readonly Digest[] = []) => ({
  reference,
  descriptor: { ...describe(digest, ''), annotations: {} },
  resolvedAt: 0,
  authorised: 'local' as const,
  usedAt: 0,
  holds,
});

/** `written`: the digests of each record that was put. */
function recordsOf<T extends Root>(records: readonly T[], keyOf: (record: T) => string) {
  const written: Record<string, readonly Digest[]> = {};
  const put = async (record: T): Promise<void> => {
    written[keyOf(record)] = record.holds.toSorted();
  };
  return { list: async () => records, put, written };
}

test('records of an older version get what they hold, as far as it is in the cache, and the others stay', async () => {
  const world = {
    blobs: {
      size: async (digest: Digest) => blobs.get(digest)?.length,
      async read(digest: Digest) {
        const bytes = blobs.get(digest);
        assert.ok(bytes !== undefined, 'what is not held is not read');
        return bytes;
      },
    },
    layers: { has: async (digest: Digest) => digest === unpacked },
    views: {
      find: async (key: string) =>
        key === 'k'
          ? {
              key,
              manifest,
              reference: '',
              blobs: [file],
              layers: [built],
              bytes: 0,
              inodes: 0,
              path: '',
              usedAt: 0,
            }
          : undefined,
    },
    volumes: recordsOf(
      [
        { ...volume, targetPath: '/old', holds: [] },
        { ...volume, targetPath: '/new', holds: [index] },
        { ...volume, targetPath: '/without its view', view: 'gone', holds: [] },
      ],
      ({ targetPath }) => targetPath,
    ),
    pins: recordsOf(
      [{ reference: 'r.test/pin:v1', digest: manifest, pinnedAt: 0, holds: [] }],
      ({ reference }) => reference,
    ),
    names: recordsOf(
      [name('r.test/old:v1', index), name('r.test/broken:v1', broken), name('r.test/new:v1', index, [index])],
      ({ reference }) => reference,
    ),
  };
  await inheritHolds(world);
  const reached = [index, manifest, config, file, unpacked].toSorted();
  assert.deepEqual(world.volumes.written, {
    '/old': [...reached, built].toSorted(),
    '/without its view': reached,
  });
  assert.deepEqual(world.pins.written, { 'r.test/pin:v1': reached.filter(digest => digest !== index) });
  assert.deepEqual(world.names.written, { 'r.test/old:v1': reached, 'r.test/broken:v1': [broken] });
});
