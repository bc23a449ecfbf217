import assert from 'node:assert/strict';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { waitUntil } from '../support/node/child.ts';
import { publishRequest } from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { recordedTargets, verifyBlobs, verifyGone, verifyVolume } from '../support/node/volume.ts';
import { openSmallDisk, type SmallDisk, type SmallVolume } from '../support/os/small-disk.ts';

const MiB = 1024 * 1024;

/** The publish fails for want of room, and leaves nothing but what stood before. */
async function publishInVain(
  around: SmallDisk,
  volume: Pick<SmallVolume, 'request'>,
  before: SmallVolume,
  says: RegExp,
): Promise<void> {
  const { code, text } = await outcomeOf(around.daemon.csi.NodePublishVolume(volume.request));
  assert.equal(code, 'RESOURCE_EXHAUSTED', text);
  assert.match(text, says);
  verifyGone(volume.request.target_path);
  verifyVolume(before.request.target_path, before.shown);
  const { stateDir } = around.node;
  assert.deepEqual(recordedTargets(stateDir), [before.request.target_path]);
  assert.deepEqual(readdirSync(join(stateDir, 'ingest')), [], 'no partial file');
  assert.deepEqual(readdirSync(join(stateDir, 'tmp')), [], 'nothing half-made');
  verifyBlobs(stateDir);
}

describe('a disk that is too small', () => {
  test('fails a pull before its first byte, and the error has needed and available space', async () => {
    await using around = await openSmallDisk('size=24m');
    const stands = await around.volume(2 * MiB);
    await around.publish(stands);
    const big = await around.volume(40 * MiB);
    await publishInVain(around, big, stands, /needs 40\.0 MiB more .* room for 2\d\.\d MiB/);
    assert.equal(around.registry.count('GET', big.digest), 0);
  });

  test('and fills up during a pull removes the partial file, and the pull succeeds when there is space', async () => {
    await using around = await openSmallDisk('size=32m');
    const { node, daemon } = around;
    const stands = await around.volume(2 * MiB);
    await around.publish(stands);
    for (const size of [3 * MiB, 20 * MiB]) {
      const volume = await around.volume(size);
      around.registry.fault(({ path }) =>
        path.endsWith(volume.digest) ? { kind: 'slow', bytesPerSecond: size } : undefined,
      );
      const sizes =
        /disk of the cache is full \(.*\); free space or inodes there: it has [\d.]+ \S?i?B and \d+ inodes free, and \S+ needs [\d.]+ MiB more/;
      const failing = publishInVain(around, volume, stands, sizes);
      failing.catch(() => {}); // looked at below
      await waitUntil(daemon, () => around.registry.count('GET', volume.digest) > 0, 'downloading');
      fill(around.root);
      await failing;
      fill(around.root); // with what the partial file gave back
      const other = await publishRequest(node, {
        reference: stands.reference,
      });
      const { code } = await outcomeOf(daemon.csi.NodePublishVolume(other));
      assert.equal(code, 'RESOURCE_EXHAUSTED', 'a record cannot be written');
      verifyGone(other.target_path);

      rmSync(join(around.root, 'filler'));
      around.registry.fault(() => undefined);
      await around.publish(volume);
      fill(around.root);
      await daemon.csi.NodeUnpublishVolume(volume.request); // a full disk does not hold a pod back
      verifyGone(volume.request.target_path);
      rmSync(join(around.root, 'filler'));
      await daemon.artifacts.Prune({});
    }
  });

  test('for the content of a tar fails the unpacking, which leaves nothing', async () => {
    await using around = await openSmallDisk('size=24m');
    const stands = await around.volume(MiB);
    await around.publish(stands);
    const zeros = Array.from({ length: 30 }, (_, nth) => [`f${nth}`, Buffer.alloc(MiB)] as const);
    await publishInVain(
      around,
      await around.tarVolume(zeros),
      stands,
      /as it is unpacked, needs .* below --disk-max/,
    );
    await around.publish(await around.volume(10 * MiB));
  });

  test('in inodes fails the unpacking, and an artifact that needs few inodes succeeds then', async () => {
    await using around = await openSmallDisk('size=64m,nr_inodes=200');
    const stands = await around.volume(MiB);
    await around.publish(stands);
    const many = Array.from({ length: 500 }, (_, nth) => [`f${nth}`, Buffer.from('x')] as const);
    await publishInVain(around, await around.tarVolume(many), stands, /disk of the cache is full|inodes/);
    await around.publish(await around.volume(MiB));
  });

  test('in inodes fails the view, too', async () => {
    await using around = await openSmallDisk('size=64m,nr_inodes=200');
    const stands = await around.volume(MiB);
    await around.publish(stands);
    const layers = Array.from({ length: 50 }, (_, nth) => ({
      name: `a${nth}/b/c/f`,
      bytes: Buffer.from(`${nth}`),
    }));
    const { reference } = await around.registry.push('directories', 'v1', layers);
    const request = await publishRequest(around.node, { reference });
    await publishInVain(around, { request }, stands, /disk of the cache is full|inodes/);
  });
});

/** Takes every byte that is left. */
function fill(root: string): void {
  const chunk = Buffer.alloc(64 * 1024);
  try {
    for (;;) writeFileSync(join(root, 'filler'), chunk, { flag: 'a' });
  } catch {
    // that was the last one
  }
}
