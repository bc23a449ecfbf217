import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Digest, toDigest } from '../../oci/digest.ts';
import { createScrub } from './scrub.ts';

const digestOf = (name: string): Digest => toDigest('sha256', name.repeat(64));
const [a, b, c, d] = [digestOf('a'), digestOf('b'), digestOf('c'), digestOf('d')];
const hour = 60 * 60 * 1000;

/** A cache of blobs `a`, `b`, `c` and a layer `d`, verified so many hours ago (undefined: never). */
function createWorld(hoursAgo: Readonly<Record<Digest, number | undefined>>, interval: number) {
  const at = new Map<Digest, number>();
  for (const digest of [a, b, c, d]) {
    const ago = hoursAgo[digest];
    if (ago !== undefined) at.set(digest, Date.now() - ago * hour);
  }
  const inspected: Digest[] = [];
  const sealed: Digest[] = [];
  const warned: string[] = [];
  const failing = new Set<Digest>();
  /** Their images, by the key of the view. */
  const images = new Map<string, { readonly layers: readonly Digest[]; problem?: string }>();
  const verified: string[] = [];
  const retired: string[] = [];
  const scrub = createScrub(
    {
      blobs: { list: async () => [a, b, c].map(digest => ({ digest })) } as never,
      layers: { list: async () => [{ digest: d }] } as never,
      evidence: { verifiedAt: ({ digest }) => at.get(digest) ?? 0 },
      hashSlowly: async () => ({ size: 0, hex: '' }),
      seal: async ({ digest }) => void sealed.push(digest),
      views: {
        holding: async ({ digest }) =>
          [...images]
            .filter(([, { layers }]) => layers.includes(digest))
            .map(([key, { layers }]) => ({ key, layers })) as never,
        checkImage: async key => {
          verified.push(key);
          return images.get(key)?.problem;
        },
      },
      integrity: {
        retire: async ({ key }, problem) => {
          retired.push(`${key}: ${problem}`);
          return [];
        },
        inspect: async ({ digest }) => {
          inspected.push(digest);
          if (failing.has(digest)) throw new Error('the disk is slow');
          at.set(digest, Date.now());
          return undefined;
        },
      },
      warn: text => void warned.push(text),
    },
    interval,
  );
  /** Runs the scrub for some turns of the event loop. */
  const run = async (): Promise<void> => {
    const end = new AbortController();
    const running = scrub.run(end.signal);
    await new Promise(resolve => setTimeout(resolve, 50));
    end.abort();
    await running;
  };
  return { scrub, inspected, sealed, warned, failing, images, verified, retired, run };
}

test('due items are verified, never verified ones first, then the least recently verified', async () => {
  const { inspected, sealed, run } = createWorld({ [a]: 2, [b]: 0, [c]: 30 }, hour);
  await run();
  assert.deepEqual(inspected, [d, c, a]);
  assert.deepEqual(sealed, [a, b, c], 'what is verified is sealed');
});

test('an image is verified with the first of its layers, and taken out of use if it is damaged', async () => {
  const { images, verified, retired, run } = createWorld({ [a]: 2, [b]: 0, [c]: 0, [d]: 2 }, hour);
  images.set('right', { layers: [d, c] });
  images.set('damaged', { layers: [d], problem: 'its image is missing' });
  images.set('of another layer first', { layers: [c, d], problem: 'it is not due' });
  await run();
  assert.deepEqual(verified, ['right', 'damaged']);
  assert.deepEqual(retired, ['damaged: its image is missing']);
});

test('without an interval only requested items are verified', async () => {
  const { scrub, inspected, run } = createWorld({ [a]: 1_000 }, 0);
  await run();
  assert.deepEqual(inspected, []);
  scrub.later({ kind: 'blobs', digest: a });
  scrub.later({ kind: 'blobs', digest: a });
  await run();
  assert.deepEqual(inspected, [a]);
});

test('requested items come before due ones', async () => {
  const { scrub, inspected, run } = createWorld({ [a]: 0, [b]: 30, [c]: 20, [d]: 10 }, hour);
  scrub.later({ kind: 'blobs', digest: a });
  await run();
  assert.deepEqual(inspected, [a, b, c, d]);
});

test('what cannot be verified is reported, and the others are verified all the same', async () => {
  const { inspected, warned, failing, run } = createWorld({ [a]: 30, [b]: 20, [c]: 0, [d]: 0 }, hour);
  failing.add(a);
  await run();
  assert.deepEqual(inspected, [a, b]);
  assert.deepEqual(warned, [`${a} could not be verified: the disk is slow; it will be retried`]);
});

test('the end of the daemon in the middle of a round ends the work', async () => {
  const { scrub } = createWorld({}, hour);
  const end = new AbortController();
  const running = scrub.run(end.signal);
  end.abort();
  const late = new Promise(resolve => setTimeout(resolve, 1000, 'late'));
  assert.equal(await Promise.race([running, late]), undefined);
});
