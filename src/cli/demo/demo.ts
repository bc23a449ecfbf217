import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, open, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { verifyKernel } from '../../mount/kernel.ts';
import type { CsiNode } from '../../ports/backend.ts';
import { ArtifactError, errnoOf } from '../../util/error.ts';
import { formatSize } from '../../util/size.ts';
import { formatCount } from '../../util/words.ts';
import type { Builder } from '../builder.ts';
import type { Terminal } from '../shell.ts';
import { type PushedArtifact, pushArtifact } from './artifact.ts';
import { startDaemon } from './child.ts';
import { createModel, weightsName } from './model.ts';
import { type DemoNode, type DemoVolume, openNode, repository, shortName } from './node.ts';
import { type DemoStage, formatTree, openStage } from './stage.ts';

/**
 * Publishes and unpublishes an artifact with the real daemon in a child process and a registry in this one. It prints
 * only what it has observed: a failed check ends the demo with an error. Everything is undone at the end.
 */
export async function demo(builder: Builder, terminal: Terminal, json: boolean): Promise<void> {
  if (process.getuid?.() !== 0) {
    throw new ArtifactError(
      'denied',
      'the demo mounts volumes, and needs root: sudo env "PATH=$PATH" npm run demo',
    );
  }
  verifyKernel();
  const signal = terminal.interrupted('ignore');
  const stage = openStage(terminal.stdout, json, signal);
  const started = performance.now();
  stage.heading('An OCI artifact becomes a read-only volume');
  try {
    const path = await showNode(builder, stage, signal);
    expect(await isThere(path), false);
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new ArtifactError('cancelled', 'the demo was interrupted; all it had made is gone again', error);
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  stage.heading(`No mount, no process and no file is left. All of it took ${seconds} s.`);
  stage.end();
}

/** Runs the demo on a temporary node. Answers the directory that it used. */
async function showNode(builder: Builder, stage: DemoStage, signal: AbortSignal): Promise<string> {
  await using node = await openNode();
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

async function fillRegistry(stage: DemoStage, node: DemoNode): Promise<PushedArtifact> {
  const model = await createModel();
  return await stage.step(
    () => pushArtifact(node.registry, repository, '1.0', model, 'application/vnd.example.model'),
    ({ layers }) =>
      `A registry on ${node.host} has ${repository}:1.0, ${layers.length} layers, ${sizeOf(layers)}`,
  );
}

async function showVolumes(
  stage: DemoStage,
  node: DemoNode,
  csi: CsiNode,
  artifact: PushedArtifact,
  signal: AbortSignal,
): Promise<void> {
  const [first, second] = [await node.addVolume('web-0'), await node.addVolume('web-1')];

  await stage.step(
    () => publish(csi, first, signal),
    () => `NodePublishVolume of ${shortName} for pod web-0: ${sizeOf(artifact.layers)} downloaded`,
  );
  await showTree(stage, first);
  await stage.step(
    () => hashFile(join(first.target, weightsName)),
    digest => `Read through the volume, the weights have their digest: ${expectDigest(digest, artifact)}…`,
  );
  await stage.step(
    () => writeError(join(first.target, 'config.json')),
    errno => `Writing to config.json as root fails: ${expect(errno, 'EROFS')}`,
  );

  const before = node.requests();
  await stage.step(
    () => publish(csi, second, signal),
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

/** Publishes as kubelet does for an inline volume. */
async function publish(csi: CsiNode, { id, pod, target }: DemoVolume, signal: AbortSignal): Promise<void> {
  const attributes = {
    reference: shortName,
    'csi.storage.k8s.io/ephemeral': 'true',
    'csi.storage.k8s.io/pod.namespace': 'default',
    'csi.storage.k8s.io/pod.name': pod,
    'csi.storage.k8s.io/pod.uid': target.split('/pods/')[1]?.split('/')[0] ?? '',
    'csi.storage.k8s.io/serviceAccount.name': 'default',
  };
  await csi.publish(id, target, attributes, signal);
}

async function showTree(stage: DemoStage, { target }: DemoVolume): Promise<void> {
  const config = await readFile(join(target, 'config.json'), 'utf8');
  const lines = config.split('\n').slice(0, 5);
  stage.say(`\n${await formatTree(target, 'mount')}\n$ head -5 config.json\n${lines.join('\n')}\n\n`);
}

function sizeOf(layers: PushedArtifact['layers']): string {
  return formatSize(layers.reduce((sum, { size }) => sum + size, 0));
}

async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  return `sha256:${hash.digest('hex')}`;
}

function expectDigest(digest: string, { layers }: PushedArtifact): string {
  const weights = layers.find(
    ({ annotations }) => annotations['org.opencontainers.image.title'] === weightsName,
  );
  return expect(digest, weights?.digest).slice(0, 'sha256:'.length + 12);
}

/** The error code of an attempt to write; `nothing` if it succeeds. */
async function writeError(path: string): Promise<string> {
  try {
    await using _ = await open(path, 'r+');
    return 'nothing';
  } catch (error) {
    return errnoOf(error) ?? String(error);
  }
}

async function inodeOf({ target }: DemoVolume): Promise<number> {
  return (await lstat(join(target, weightsName))).ino;
}

async function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

/** @throws if the observed value differs. */
function expect<T>(seen: T, wanted: unknown): T {
  if (seen === wanted) return seen;
  throw new ArtifactError(
    'internal',
    `the demo saw ${String(seen)} where ${String(wanted)} was right; report this as a bug`,
  );
}
