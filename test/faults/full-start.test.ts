import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { statfsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { waitUntil } from '../support/node/child.ts';
import { publishRequest, startDaemon, testNode } from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { shownOf, verifyGone, verifyVolume } from '../support/node/volume.ts';
import { gzip, tarOf } from '../support/oci/tar.ts';
import { mountFullDisk } from '../support/os/full-disk.ts';
import { needs } from '../support/project/tools.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';

const mediaType = 'application/vnd.acme.layer.v1.tar+gzip';

for (const what of ['blocks', 'inodes'] as const) {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    test(
      `a daemon that ended by ${signal} starts without a free ${what.slice(0, -1)}, ends volumes, and collects`,
      needs('root', 'mkfs.ext4'),
      async () => {
        await using registry = await openFaultyRegistry();
        await using whole = await testNode([registry.host]);
        const disk = mountFullDisk(whole.path);
        const node = { ...whole, stateDir: join(disk.path, 'state') };
        const publish = async (name: string, layer: { bytes: Buffer; name?: string; mediaType?: string }) => {
          const { reference } = await registry.push(name, 'v1', [layer]);
          return await publishRequest(node, { reference });
        };
        const bytes = randomBytes(2 ** 20);
        const tar = gzip(await tarOf([[{ name: 'in/a/tar' }, bytes]]));
        const file = await publish('file', { name: 'f', bytes });
        const image = await publish('image', { bytes: tar, mediaType });
        const other = await publish('other', { name: 'f', bytes: randomBytes(4 * 2 ** 20) });
        const shown = shownOf([['in/a/tar', bytes]]);
        {
          await using daemon = await startDaemon(node);
          for (const request of [file, image, other]) await daemon.csi.NodePublishVolume(request);
          await daemon.csi.NodeUnpublishVolume(other);
          await daemon.end(signal);
        }
        disk.fill(what);
        await using daemon = await startDaemon(node);
        verifyVolume(image.target_path, shown);
        const late = await publishRequest(node, { reference: file.volume_context?.['reference'] ?? '' });
        assert.equal((await outcomeOf(daemon.csi.NodePublishVolume(late))).code, 'RESOURCE_EXHAUSTED');
        await daemon.csi.NodeUnpublishVolume(file);
        verifyGone(file.target_path);
        assert.equal((await daemon.artifacts.Prune({})).freed?.artifacts, 2);
        // The journal gives blocks back when it is written, and a file that is removed may be open for a moment.
        await waitUntil(
          daemon,
          () => {
            execFileSync('sync', ['-f', disk.path]);
            const { bfree, ffree, bsize } = statfsSync(disk.path);
            return what === 'inodes' ? ffree > 0 : bfree * bsize >= 4 * 2 ** 20;
          },
          'room',
        );
        await daemon.csi.NodePublishVolume(late);
        verifyVolume(late.target_path, shownOf([['f', bytes]]));
        await daemon.csi.NodePublishVolume(image);
        verifyVolume(image.target_path, shown);
        assert.doesNotMatch(daemon.output(), /files of it are missing/);
        disk.release();
        assert.equal(await daemon.end('SIGTERM'), 0);
      },
    );
  }
}
