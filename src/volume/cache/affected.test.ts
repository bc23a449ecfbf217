import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Digest, toDigest } from '../../oci/digest.ts';
import type { NameRecord, PinRecord, VolumeRecord } from '../../ports/records.ts';
import { createAffected } from './affected.ts';

const digestOf = (letter: string): Digest => toDigest('sha256', letter.repeat(64));
const [one, two, shared, gone] = [digestOf('1'), digestOf('2'), digestOf('a'), digestOf('f')];

const name = (reference: string, digest: Digest, holds: readonly Digest[]): NameRecord => ({
  reference,
  descriptor: { mediaType: '', digest, size: 1, annotations: {} },
  resolvedAt: 0,
  usedAt: 0,
  authorised: 'anonymous',
  holds,
});
const pin = (reference: string, holds: readonly Digest[]): PinRecord => ({
  reference,
  digest: two,
  pinnedAt: 0,
  holds,
});
const volume = (resolved: string, holds: readonly Digest[]): VolumeRecord => ({
  volumeId: 'v',
  targetPath: '/t',
  fingerprint: '',
  anywhere: false,
  reference: resolved,
  resolved,
  digest: one,
  manifest: one,
  view: 'k',
  bytes: 0,
  inodes: 0,
  publishedAt: 0,
  holds,
});

test('content is needed by the names, pins and volumes that hold it, each once', async () => {
  let reads = 0;
  const affected = createAffected({
    names: {
      list: async () => {
        reads++;
        return [name('r.example/a:1', one, [one, shared]), name('r.example/b:1', gone, [])];
      },
    },
    pins: { list: async () => [pin('r.example/p:1', [two, shared])] },
    volumes: {
      list: async () => [
        volume('r.example/a:1', [one, shared, two]),
        volume('r.example/v:1', [shared]),
        volume('r.example/v:1', [shared]),
      ],
    },
  });
  assert.equal(reads, 0);
  assert.deepEqual(await affected(shared), ['r.example/a:1', 'r.example/p:1', 'r.example/v:1']);
  assert.deepEqual(await affected(two), ['r.example/a:1', 'r.example/p:1']);
  assert.deepEqual(await affected(gone), ['r.example/b:1'], 'the digest of a record without a list');
  assert.deepEqual(await affected(digestOf('e')), []);
  assert.equal(reads, 1);
});

test('of thousands of artifacts, the first are named', async () => {
  const names = Array.from({ length: 5000 }, (_, nth) => name(`r.example/m:${nth}`, one, [shared]));
  const none = { list: async () => [] };
  const affected = createAffected({ names: { list: async () => names }, pins: none, volumes: none });
  assert.equal((await affected(shared)).length, 16);
});
