import assert from 'node:assert/strict';
import { readdirSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startDaemon } from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { verifyGone, verifyVolume } from '../support/node/volume.ts';
import { openSmallDisk } from '../support/os/small-disk.ts';
import { needs } from '../support/project/tools.ts';

const MiB = 1024 * 1024;

/** Percent of the filesystem in use, of its bytes and of its inodes. */
function usedOf(root: string): { bytes: number; inodes: number } {
  const { blocks, bfree, files, ffree } = statfsSync(root);
  return { bytes: (100 * (blocks - bfree)) / blocks, inodes: (100 * (files - ffree)) / files };
}

/** The most that was in use meanwhile. */
async function mostUsed(root: string, work: () => Promise<void>): Promise<{ bytes: number; inodes: number }> {
  const most = { bytes: 0, inodes: 0 };
  const look = (): void => {
    const { bytes, inodes } = usedOf(root);
    most.bytes = Math.max(most.bytes, bytes);
    most.inodes = Math.max(most.inodes, inodes);
  };
  const timer = setInterval(look, 2);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  look();
  return most;
}

for (const [what, options, files, size, flags] of [
  ['bytes', 'size=64m', 90, MiB, {}],
  ['inodes', 'size=64m,nr_inodes=2000', 3000, 10, {}],
  ['what the cache may have', 'size=256m', 90, MiB, { '--cache-max': '40MiB' }],
] as const) {
  test(
    `a layer that needs more ${what} than available fails at the limit, leaves nothing, and is remembered`,
    needs('root'),
    async () => {
      const marks = { '--cache-high': '50', '--cache-low': '40', '--disk-max': '80', ...flags };
      await using around = await openSmallDisk(options, marks);
      const stands = await around.volume(2 * MiB);
      await around.publish(stands);
      const before = usedOf(around.root);
      const bomb = await around.tarVolume(
        Array.from({ length: files }, (_, nth) => [`f${nth}`, Buffer.alloc(size, nth)] as const),
      );
      const most = await mostUsed(around.root, async () => {
        const { code, text } = await outcomeOf(around.daemon.csi.NodePublishVolume(bomb.request));
        assert.equal(code, 'RESOURCE_EXHAUSTED', text);
        assert.match(
          text,
          /as it is unpacked, needs .* more in the cache, .*(--disk-max \(80\)|--cache-max)/,
        );
        assert.ok(!text.includes('%'), text);
      });
      assert.ok(most.bytes <= 81 && most.inodes <= 81, JSON.stringify(most));
      verifyGone(bomb.request.target_path);
      const { stateDir } = around.node;
      for (const name of ['ingest', 'tmp', 'layers/bodies/sha256'])
        assert.deepEqual(readdirSync(join(stateDir, name)), [], name);
      const after = usedOf(around.root);
      assert.ok(after.bytes < before.bytes + 2 && after.inodes < before.inodes + 2, JSON.stringify(after));

      const again = await mostUsed(around.root, async () => {
        const { code, text } = await outcomeOf(around.daemon.csi.NodePublishVolume(bomb.request));
        assert.equal(code, 'RESOURCE_EXHAUSTED', text);
        assert.ok(!text.includes('as it is unpacked'), 'it is refused before it is downloaded');
      });
      assert.ok(again.bytes < before.bytes + 2 && again.inodes < before.inodes + 2, JSON.stringify(again));
      assert.equal(around.registry.count('GET', bomb.digest), 1);
      verifyVolume(stands.request.target_path, stands.shown);
      await around.publish(await around.volume(MiB));

      await around.daemon.end('SIGTERM');
      await using next = await startDaemon(around.node, { flags: marks });
      const { code, text } = await outcomeOf(next.csi.NodePublishVolume(bomb.request));
      assert.equal(code, 'RESOURCE_EXHAUSTED', text);
      assert.equal(around.registry.count('GET', bomb.digest), 1, 'the next daemon knows it too');
    },
  );
}

test('pulls continue between the limits of garbage collection and of pulls', needs('root'), async () => {
  await using around = await openSmallDisk('size=40m', {
    '--cache-high': '20',
    '--cache-low': '10',
    '--disk-max': '90',
  });
  const stands = await around.volume(16 * MiB);
  await around.publish(stands);
  for (let nth = 0; nth < 3; nth++) await around.publish(await around.volume(4 * MiB));
  verifyVolume(stands.request.target_path, stands.shown);
});
