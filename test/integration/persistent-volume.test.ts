import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { publishRequest, startDaemon, testNode } from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { shownOf, verifyGone, verifyVolume } from '../support/node/volume.ts';
import { mountsBelow } from '../support/os/mounts.ts';
import { findExamples } from '../support/project/documents.ts';
import { needs } from '../support/project/tools.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';

type PersistentVolume = {
  readonly spec: {
    readonly accessModes: readonly string[];
    readonly mountOptions: string[];
    readonly csi: { readonly volumeHandle: string; readonly volumeAttributes: Record<string, string> };
  };
};

/** The example of the README. */
function readExample(): PersistentVolume {
  const text = findExamples(readFileSync(new URL('../../README.md', import.meta.url), 'utf8'), 'yaml');
  const [volume, claim] = parseAllDocuments(
    text.find(example => /kind: PersistentVolume$/m.test(example)) ?? '',
  );
  assert.partialDeepStrictEqual(claim?.toJS(), {
    spec: { volumeName: 'tiny', accessModes: ['ReadOnlyMany'] },
  });
  return volume?.toJS() as PersistentVolume;
}

test('the PersistentVolume of the README is mounted separately for two pods', needs('root'), async () => {
  const { accessModes, mountOptions, csi } = readExample().spec;
  assert.deepEqual(accessModes, ['ReadOnlyMany']);
  await using registry = await openFaultyRegistry();
  await using node = await testNode([registry.host]);
  await using daemon = await startDaemon(node);
  const bytes = Buffer.alloc(5000, 1);
  const shown = shownOf([['model', bytes]]);
  const { reference } = await registry.push('models/tiny', '1', [{ name: 'model', bytes }]);

  /** As kubelet puts it (ReadOnlyMany is MULTI_NODE_READER_ONLY in CSI). */
  const request = async (readonly: boolean) => ({
    ...(await publishRequest(node, {
      ...csi.volumeAttributes,
      reference,
      'csi.storage.k8s.io/ephemeral': 'false',
    })),
    volume_id: csi.volumeHandle,
    readonly,
    volume_capability: {
      mount: { fs_type: '', mount_flags: mountOptions },
      access_mode: { mode: 'MULTI_NODE_READER_ONLY' as const },
    },
  });
  const [one, two] = [await request(true), await request(true)];
  await daemon.csi.NodePublishVolume(one);
  await daemon.csi.NodePublishVolume(two);
  for (const { target_path } of [one, two]) verifyVolume(target_path, shown);
  const mounts = mountsBelow(node.kubeletDir);
  assert.deepEqual(
    mounts.map(({ options }) => options.includes('noexec')),
    [true, true],
  );

  await daemon.csi.NodeUnpublishVolume(one);
  verifyGone(one.target_path);
  verifyVolume(two.target_path, shown);
  const stats = (volume_path: string) =>
    outcomeOf(daemon.csi.NodeGetVolumeStats({ volume_id: csi.volumeHandle, volume_path }));
  assert.equal((await stats(one.target_path)).code, 'NOT_FOUND');
  assert.equal((await stats(two.target_path)).code, 'OK');

  const writable = await outcomeOf(daemon.csi.NodePublishVolume(await request(false)));
  assert.equal(writable.code, 'INVALID_ARGUMENT');
  assert.match(writable.text, /for a claim: persistentVolumeClaim\.readOnly: true/);
  await daemon.csi.NodeUnpublishVolume(two);
  verifyGone(two.target_path);
});
