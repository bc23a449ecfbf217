import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTenants } from '../../util/fair-slots.ts';
import { beginAllowance, createTokenBucket, isSpent, receive } from '../../util/token-bucket.ts';
import { createBandwidth } from './bandwidth.ts';

const never = new AbortController().signal;
const rate = 2_000_000;
/** A promise of a thread's wait alone does not keep the process alive. */
const alive = setInterval(() => {}, 1_000);
test.after(() => clearInterval(alive));

/** Downloads many at once, in chunks, and notes all that came at each time. */
async function download(sizes: readonly number[], chunk: number) {
  const bandwidth = createBandwidth(rate, 'prefetch');
  const came: { readonly bytes: number; readonly ms: number }[] = [];
  const each: number[] = sizes.map(() => 0);
  let bytes = 0;
  const began = performance.now();
  const one = async (size: number, index: number): Promise<void> => {
    using slowed = await bandwidth.slow(size, openTenants('prefetch'), never);
    for (let left = size; left > 0; left -= chunk) {
      const length = Math.min(chunk, left);
      bytes += length;
      each[index] = size - left + length;
      came.push({ bytes, ms: performance.now() - began });
      await receive(slowed.allowance, length);
    }
  };
  await Promise.all(sizes.map(one));
  return { came, each };
}

for (const [what, sizes, chunk, chunksAhead] of [
  ['one download', [1_000_000], 10_000, 1],
  ['downloads at once', [400_000, 400_000, 400_000], 16_384, 3],
  ['many small ones at once', Array.from({ length: 100 }, () => 10_000), 10_000, 1],
  ['chunks larger than a step', [1_200_000], 300_000, 1],
] as const) {
  test(`${what}: at no time more has come than the rate allows, and all of it comes in time`, async () => {
    const { came } = await download(sizes, chunk);
    const early = (rate * 50) / 1000 + chunksAhead * chunk;
    for (const { bytes, ms } of came)
      assert.ok(bytes <= (rate * ms) / 1000 + early, `${bytes} bytes in ${ms} ms`);
    const last = came.at(-1);
    assert.ok(last !== undefined && last.ms < 3 * ((last.bytes / rate) * 1000), `${last?.ms} ms`);
  });
}

test('another tenant lifts the limit, also of a download that waits for its turn; the end does too', async () => {
  const bandwidth = createBandwidth(1_000, 'prefetch');
  const tenants = openTenants('prefetch');
  using slowed = await bandwidth.slow(1e9, tenants, never);
  const waiting = receive(slowed.allowance, 1e6);
  assert.ok(waiting !== undefined);
  const later = openTenants('prefetch');
  const starting = bandwidth.slow(1, later, never);
  tenants.join('namespace shop');
  await waiting;
  assert.equal(receive(slowed.allowance, 1e6), undefined);
  later.join('administrator');
  using _ = await starting;

  const ending = new AbortController();
  const third = bandwidth.slow(1, openTenants('prefetch'), ending.signal);
  ending.abort(new Error('gone'));
  await assert.rejects(third, /^Error: gone$/);
});

test('a download that ends early lets go of who waits for it', async () => {
  const bandwidth = createBandwidth(1_000, 'prefetch');
  const slowed = await bandwidth.slow(1e9, openTenants('prefetch'), never);
  const waiting = receive(slowed.allowance, 1e6);
  slowed[Symbol.dispose]();
  await waiting;
});

test('a bucket is spent while more has been reserved than had its time', async () => {
  const bucket = createTokenBucket(1_000);
  assert.equal(isSpent(bucket), false);
  await beginAllowance(bucket, 3_600_000, never);
  assert.equal(isSpent(bucket), true);
});

test('who waits for the first byte leaves when the caller does', async () => {
  const bucket = createTokenBucket(1);
  await beginAllowance(bucket, 1_000, never);
  const leaving = new AbortController();
  const waiting = beginAllowance(bucket, 1_000, leaving.signal);
  leaving.abort(new Error('left'));
  await assert.rejects(waiting, /left/);
});
