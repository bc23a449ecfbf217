import { lstat, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { CsiNode } from '../../ports/backend.ts';
import { formatSize } from '../../util/size.ts';
import { formatCount } from '../../util/words.ts';
import type { Builder } from '../builder.ts';
import { type PushedArtifact, pushArtifact } from './artifact.ts';
import { startDaemon } from './child.ts';
import { publish } from './kubelet.ts';
import { createModel, weightsName } from './model.ts';
import { type DemoNode, type DemoVolume, openNode } from './node.ts';
import { digestOf, expect, hashFile, isThere, sizeOf, withFile } from './observation.ts';
import { type DemoStage, formatTree } from './stage.ts';

/** Shows an artifact in the volumes of two pods, on a temporary node. Returns the directory that it used. */
export async function showSharing(builder: Builder, stage: DemoStage, signal: AbortSignal): Promise<string> {
  await using node = await openNode('tiny-model');
  const artifact = await fillRegistry(stage, node);
  await using daemon = await stage.step(
    () => startDaemon(node.flags, node.socket, node.log, signal),
    ({ pid }) => `The daemon serves csi.v1 on ${basename(node.socket)} (process ${pid})`,
  );
  const csi = await builder.connectNode(node.socket);
  try {
    await showVolumes(stage, node, csi, artifact, signal);
  } finally {
    csi.close();
  }
  await stage.step(
    () => daemon.stop(),
    code => `The daemon stopped on SIGTERM, exit code ${expect(code, 0)}`,
  );
  expect(await node.mounts(), 0);
  return node.path;
}

async function fillRegistry(stage: DemoStage, { registry, repository, host }: DemoNode) {
  const model = await createModel();
  return await stage.step(
    () => pushArtifact(registry, repository, '1.0', model, 'application/vnd.example.model'),
    ({ layers }) => `A registry on ${host} has ${repository}:1.0, ${layers.length} layers, ${sizeOf(layers)}`,
  );
}

async function showVolumes(
  stage: DemoStage,
  node: DemoNode,
  csi: CsiNode,
  artifact: PushedArtifact,
  signal: AbortSignal,
): Promise<void> {
  const { reference } = node;
  const [first, second] = [await node.addVolume('web-0'), await node.addVolume('web-1')];

  await stage.step(
    () => publish(csi, first, { reference }, signal),
    () => `NodePublishVolume of ${reference} for pod web-0: ${sizeOf(artifact.layers)} downloaded`,
  );
  await showTree(stage, first);
  await stage.step(
    () => withFile(join(first.target, weightsName), 'r', hashFile),
    digest => {
      const seen = expect(digest, digestOf(artifact, weightsName)).slice(0, 'sha256:'.length + 12);
      return `Read through the volume, the weights have their digest: ${seen}…`;
    },
  );
  await stage.step(
    () => withFile(join(first.target, 'config.json'), 'r+', async () => 'nothing'),
    errno => `Writing to config.json as root fails: ${expect(errno, 'EROFS')}`,
  );

  const before = node.requests();
  await stage.step(
    () => publish(csi, second, { reference }, signal),
    () =>
      `The same for pod web-1, from the cache: ${formatCount(node.requests() - before, 'request')} to the registry`,
  );
  expect(await inodeOf(first), await inodeOf(second));
  stage.say('both volumes show the same inodes: one copy on disk, one in memory\n\n');

  await stage.step(
    () => csi.stats(second.id, second.target, signal),
    ({ bytes, inodes }) => `NodeGetVolumeStats: ${formatSize(bytes)}, ${formatCount(inodes, 'inode')}`,
  );
  await stage.step(
    async () => {
      for (const { id, target } of [first, second]) await csi.unpublish(id, target, signal);
      expect([await isThere(first.target), await isThere(second.target)].includes(true), false);
    },
    () => 'NodeUnpublishVolume for both: the mounts and their directories are gone',
  );
}

async function showTree(stage: DemoStage, { target }: DemoVolume): Promise<void> {
  const config = await readFile(join(target, 'config.json'), 'utf8');
  const lines = config.split('\n').slice(0, 5);
  stage.say(`\n${await formatTree(target, 'mount')}\n$ head -5 config.json\n${lines.join('\n')}\n\n`);
}

async function inodeOf({ target }: DemoVolume): Promise<number> {
  return (await lstat(join(target, weightsName))).ino;
}
