import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { runCommand } from '../support/node/command.ts';
import { publishRequest, startDaemon, testNode } from '../support/node/daemon.ts';
import { listTree } from '../support/oci/listing.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { needs } from '../support/project/tools.ts';
import { startBuildKit } from '../tools/image/buildkit.ts';
import { readLayoutDigest, readManifest } from '../tools/image/layout.ts';

/** What tells that a layer has the format. */
const marks = {
  gzip: /tar\+gzip/,
  estargz: /stargz\/toc\.digest/,
  zstd: /tar\+zstd/,
};

test(
  'layers that BuildKit wrote as gzip, eStargz and zstd show the same files',
  needs('root', 'runc', 'buildkitd', 'buildctl'),
  async () => {
    await using directory = await temporaryDirectory();
    const source = join(directory.path, 'source');
    mkdirSync(join(source, 'tree/sub directory/é'), { recursive: true });
    writeFileSync(join(source, 'Dockerfile'), 'FROM scratch\nCOPY tree /\n');
    writeFileSync(join(source, 'tree/large'), randomBytes(9 * 1024 * 1024)); // some chunks of eStargz, which have 4 MiB
    writeFileSync(join(source, 'tree/empty'), '');
    writeFileSync(join(source, 'tree/sub directory/é/run.sh'), '#!/bin/sh\n', { mode: 0o755 });
    symlinkSync('sub directory/é/run.sh', join(source, 'tree/link'));
    await using kit = await startBuildKit();
    await using node = await testNode();
    await using daemon = await startDaemon(node);

    const listings = new Map<string, object>();
    for (const compression of ['gzip', 'estargz', 'zstd'] as const) {
      const layout = join(directory.path, compression);
      await kit.build({ source, platforms: [], compression }, layout);
      assert.match(JSON.stringify(readManifest(layout, readLayoutDigest(layout)).layers), marks[compression]);
      const reference = `formats.test/image:${compression}`;
      const loaded = await runCommand(node, ['load', layout, reference]);
      assert.equal(loaded.code, 0, loaded.stderr);
      const request = await publishRequest(node, { reference, pullPolicy: 'Never' });
      await daemon.csi.NodePublishVolume(request);
      listings.set(compression, listTree(request.target_path));
      await daemon.csi.NodeUnpublishVolume(request);
    }
    assert.deepEqual(Object.keys(listings.get('gzip') ?? {}), [
      '.',
      'empty',
      'large',
      'link',
      'sub directory',
      'sub directory/é',
      'sub directory/é/run.sh',
    ]);
    assert.deepEqual(listings.get('estargz'), listings.get('gzip'));
    assert.deepEqual(listings.get('zstd'), listings.get('gzip'));
  },
);
