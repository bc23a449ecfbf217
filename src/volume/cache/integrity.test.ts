import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toDigest } from '../../oci/digest.ts';
import type { Damage, Item, VerificationState, View } from '../../ports/store.ts';
import { createIntegrity } from './integrity.ts';

const never = new AbortController().signal;
const item: Item = { kind: 'blobs', digest: toDigest('sha256', 'a'.repeat(64)) };
const unused = (): never => {
  throw new Error('nobody asks for this');
};

/** A blob of 100 GiB with a given state, and its verification by `check`. */
function createWorld(
  check: (look: unknown) => Promise<Damage | undefined>,
  {
    size = 100 * 2 ** 30,
    state = 'stale',
    isThere = true,
  }: { size?: number; state?: VerificationState; isThere?: boolean } = {},
) {
  const log: string[] = [];
  const blobs = {
    size: async () => size,
    has: async () => isThere,
    remove: async () => void log.push('remove'),
    check: (_digest: unknown, _signal: AbortSignal, look: unknown) => check(look),
  };
  const integrity = createIntegrity(
    {
      blobs: blobs as never,
      layers: blobs as never,
      views: { holding: async (): Promise<readonly View[]> => [], list: unused } as never,
      evidence: {
        states: async items => items.map(() => state),
        verifiedAt: () => 0,
        files: () => 1,
        verify: async (_item, verify) => verify(),
        settle: async () => undefined,
        presume: async () => void log.push('presume'),
        forget: () => void log.push('forget'),
      },
      durability: { follow: () => undefined },
      putAway: async () => void log.push('put away'),
      mends: true,
      retirement: { retire: async () => [], whoShows: unused, tidy: unused },
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

test('a publish does not wait for a slow hash of the same content', async () => {
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

const mebibyte = 1024 * 1024;
for (const [state, size, looks, rest] of [
  ['verified', mebibyte, [], []],
  ['absent', mebibyte, [], []],
  ['stale', mebibyte, ['hash'], []],
  ['stale', 64 * mebibyte, ['hash'], []],
  ['stale', 64 * mebibyte + 1, ['inode'], ['later']],
  ['unknown', mebibyte, ['hash'], []],
  ['unknown', 65 * mebibyte, ['inode'], ['presume', 'later']],
  ['changed', 65 * mebibyte, ['hash'], []],
] as const) {
  test(`content of ${size / mebibyte} MiB that is ${state} is examined before it is linked`, async () => {
    const looked: string[] = [];
    const check = async (look: unknown): Promise<undefined> =>
      void looked.push(look === 'inode' ? 'inode' : 'hash');
    const { integrity, log } = createWorld(check, { size, state });
    await integrity.examine([item], never);
    assert.deepEqual([looked, log], [looks, rest]);
  });
}

test('a layer of another version is removed without a word of damage, unless it was unpacked anew meanwhile', async () => {
  for (const isReplaced of [false, true]) {
    const outdated = async (): Promise<Damage> => ({
      problem: 'of another version',
      inodes: [],
      outdated: true,
    });
    const { integrity, log } = createWorld(outdated, { isThere: isReplaced });
    const look = async () => ({ size: 0, hex: '' });
    const layer: Item = { ...item, kind: 'layers' };
    assert.equal(await integrity.inspect(layer, look, false, never), undefined);
    assert.deepEqual(log, []);
    assert.equal(await integrity.inspect(layer, look, true, never), undefined);
    assert.deepEqual(log, isReplaced ? [] : ['remove']);
  }
});
