import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toDigest } from '../oci/digest.ts';
import type { Damage, Item, View } from './contracts/store.ts';
import { createIntegrity } from './integrity.ts';

const never = new AbortController().signal;
const item: Item = { kind: 'blobs', digest: toDigest('sha256', 'a'.repeat(64)) };
const unused = (): never => {
  throw new Error('nobody asks for this');
};

/** A blob of 100 GiB of which nobody knows whether it is right, and its checks as `check` has them. */
function createWorld(check: (look: unknown) => Promise<Damage | undefined>) {
  const log: string[] = [];
  const blobs = {
    size: async () => 100 * 2 ** 30,
    check: (_digest: unknown, _signal: AbortSignal, look: unknown) => check(look),
  };
  const integrity = createIntegrity(
    {
      blobs: blobs as never,
      layers: blobs as never,
      views: { holding: async (): Promise<readonly View[]> => [], list: unused } as never,
      evidence: {
        standings: async items => items.map(() => 'stale'),
        verifiedAt: () => 0,
        files: () => 1,
        verify: async (_item, verify) => verify(),
        settle: async () => undefined,
        presume: async () => undefined,
        forget: () => void log.push('forget'),
      },
      putAway: async () => void log.push('put away'),
      mends: true,
      retirement: { retire: unused, whoShows: unused, tidy: unused },
      meter: { damageFound: () => void log.push('damage') },
      hash: unused,
      warn: () => undefined,
      later: () => void log.push('later'),
    },
    1_000,
    never,
  );
  return { integrity, log };
}

test('a publish does not wait for who hashes the same content slowly', async () => {
  const slowly = Promise.withResolvers<undefined>();
  const { integrity, log } = createWorld(async look => (look === 'inode' ? undefined : slowly.promise));
  const slow = integrity.inspect(item, async () => ({ size: 0, hex: '' }), true, never);
  await integrity.examine([item], never);
  assert.deepEqual(log, ['later']);
  slowly.resolve(undefined);
  assert.equal(await slow, undefined);
});

test('damage that two find at a time is put away once', async () => {
  const both = Promise.withResolvers<undefined>();
  const damage: Damage = { problem: 'has other bytes', inodes: [] };
  const { integrity, log } = createWorld(() => both.promise.then(() => damage));
  const hash = async () => ({ size: 0, hex: '' });
  const found = [1, 2].map(() => integrity.inspect(item, hash, true, never));
  both.resolve(undefined);
  const outcomes = await Promise.all(found);
  assert.deepEqual(
    outcomes.map(outcome => outcome?.problem),
    ['has other bytes', undefined],
  );
  assert.deepEqual(log, ['forget', 'put away', 'damage']);
});
