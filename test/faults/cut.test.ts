import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ofBlob, once, openTestbed, type Testbed } from '../support/registry/testbed.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

let bed: Testbed;

before(async () => {
  bed = await openTestbed();
});
after(async () => {
  await bed?.[Symbol.asyncDispose]();
});

describe('an interrupted connection', () => {
  for (const [way, size] of [
    ['shared', 3 * MiB],
    ['of its own', 6 * MiB],
  ] as const) {
    test(`after every 64 KiB of a blob ${way} downloads each byte once`, async () => {
      const { code, asks } = await bed.publishUnder(ofBlob({ kind: 'cut', after: 64 * KiB }), size);
      assert.equal(code, 'OK');
      assert.equal(asks.length, size / (64 * KiB));
      assert.deepEqual(
        asks.map(({ headers }) => headers.range),
        asks.map((_, nth) => (nth === 0 ? undefined : `bytes=${nth * 64 * KiB}-`)),
      );
    });
  }

  test('at any multiple of 64 KiB is resumed there', async () => {
    const cuts = Array.from({ length: 49 }, (_, nth) => nth * 64 * KiB);
    while (cuts.length > 0) {
      await Promise.all(
        cuts.splice(0, 8).map(async after => {
          const { code, asks } = await bed.publishUnder(ofBlob(once({ kind: 'cut', after })), 3 * MiB + 1);
          assert.equal(code, 'OK');
          const range = after === 0 ? undefined : `bytes=${after}-`;
          assert.deepEqual(
            asks.map(({ headers }) => headers.range),
            [undefined, range],
          );
        }),
      );
    }
  });
});
