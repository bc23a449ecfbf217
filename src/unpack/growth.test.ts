import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { DiskAmount } from '../ports/disk.ts';
import { openGrowth } from './growth.ts';

const MiB = 1024 * 1024;

test('space is granted before it is used, whatever the steps, and by few grants', () => {
  const steps = fc.array(fc.tuple(fc.nat(3 * MiB), fc.nat(200)), { minLength: 1, maxLength: 300 });
  fc.assert(
    fc.property(steps, taken => {
      const granted = { bytes: 0, inodes: 0 };
      let before: DiskAmount = { bytes: 0, inodes: 0 };
      let asked = 0;
      const growth = openGrowth(async (more, written) => {
        assert.deepEqual(written, before);
        granted.bytes += more.bytes;
        granted.inodes += more.inodes;
        asked++;
      });
      for (const [bytes, inodes] of taken) {
        const wanted = { bytes: before.bytes + bytes, inodes: before.inodes + inodes };
        void growth.reach(wanted, () => before);
        before = wanted;
        assert.ok(granted.bytes >= wanted.bytes && granted.inodes >= wanted.inodes);
        assert.ok(granted.bytes <= wanted.bytes + 64 * MiB && granted.inodes <= wanted.inodes + 4096);
      }
      assert.ok(asked <= 80, `${asked} grants for ${before.bytes} bytes and ${before.inodes} inodes`);
    }),
  );
});

test('a refusal is thrown by the step that needs the space', async () => {
  const growth = openGrowth(async ({ bytes }) => {
    if (bytes > 2 * MiB) throw new Error('full');
  });
  const reach = async (bytes: number): Promise<void> =>
    growth.reach({ bytes, inodes: 0 }, () => ({ bytes: 0, inodes: 0 }));
  await reach(0);
  await reach(MiB);
  await assert.rejects(reach(40 * MiB), /full/);
});
