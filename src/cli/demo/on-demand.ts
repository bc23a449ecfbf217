import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { CsiNode } from '../../ports/backend.ts';
import type { LateStatus } from '../../ports/on-demand.ts';
import type { Artifacts } from '../../ports/usecases.ts';
import { abortable } from '../../util/abortable.ts';
import { isLoaded } from '../../util/late-text.ts';
import { formatSize } from '../../util/size.ts';
import type { Builder } from '../builder.ts';
import { type PushedArtifact, pushArtifact } from './artifact.ts';
import { type DaemonProcess, startDaemon } from './child.ts';
import { publish } from './kubelet.ts';
import { largeModel, lastShard, shards } from './large-model.ts';
import { readEnd, verifyOnDemand, waitForBytes } from './loading.ts';
import { type DemoNode, type DemoVolume, openNode } from './node.ts';
import { digestOf, expect, hashFile, isThere, sizeOf, withFile } from './observation.ts';
import { type DemoStage, formatTree } from './stage.ts';

/** What a fast network brings. With it, the demo takes half a minute. */
const bytesPerSecond = 128 * 1024 * 1024;
/** How much is here when the daemon is killed. */
const killedAt = 0.55;

type Scene = {
  readonly stage: DemoStage;
  readonly node: DemoNode;
  readonly volume: DemoVolume;
  readonly signal: AbortSignal;
};

type Pushed = { readonly artifact: PushedArtifact };

/** A daemon, and what it answers. */
type Service = { readonly daemon: DaemonProcess; readonly csi: CsiNode; readonly artifacts: Artifacts };

/**
 * Shows an artifact in a volume that is loaded on demand, on a temporary node whose registry is slow. Returns the
 * directory that it used.
 */
export async function showOnDemand(builder: Builder, stage: DemoStage, signal: AbortSignal): Promise<string> {
  await using node = await openNode('large-model', bytesPerSecond);
  const scene = { stage, node, volume: await node.addVolume('web-0'), signal };
  const artifact = await serve(
    builder,
    scene,
    pid => `The daemon serves csi.v1 on ${basename(node.socket)} (process ${pid})`,
    async service => {
      await tryOut(node, service, signal);
      const pushed = await fillRegistry(stage, node);
      await showMount({ ...scene, artifact: pushed }, service);
      await showKill(scene, service);
      return pushed;
    },
  );
  await serve(
    builder,
    scene,
    pid => `The next daemon goes on (process ${pid})`,
    async service => showEnd({ ...scene, artifact }, service),
  );
  expect(await node.mounts(), 0);
  return node.path;
}

async function fillRegistry(stage: DemoStage, { registry, repository, host }: DemoNode) {
  return await stage.step(
    () => pushArtifact(registry, repository, '1.0', largeModel, 'application/vnd.example.model'),
    ({ layers }) =>
      `A registry on ${host} has ${repository}:1.0, ${sizeOf(layers)}, at ${formatSize(bytesPerSecond)}/s`,
  );
}

/** Runs a daemon for some work. */
async function serve<T>(
  builder: Builder,
  { stage, node: { flags, socket, log }, signal }: Scene,
  tell: (pid: number) => string,
  work: (service: Service) => Promise<T>,
): Promise<T> {
  await using stack = new AsyncDisposableStack();
  const started = await stage.step(
    () => startDaemon(flags, socket, log, signal),
    ({ pid }) => tell(pid),
  );
  const daemon = stack.use(started);
  const csi = stack.adopt(await builder.connectNode(socket), async node => node.close());
  const { artifacts } = stack.adopt(await builder.connect(socket), backend => backend.close());
  return await work({ daemon, csi, artifacts });
}

/** Loads a few bytes on demand: where that is not possible, nobody has to wait for many. */
async function tryOut(
  { registry, host, addVolume }: DemoNode,
  { csi, artifacts }: Service,
  signal: AbortSignal,
): Promise<void> {
  await pushArtifact(registry, 'trial', '1.0', [{ name: 'bytes', bytes: Buffer.alloc(2 ** 21) }]);
  const volume = await addVolume('trial');
  await publish(csi, volume, { reference: `${host}/trial:1.0`, loading: 'onDemand' }, signal);
  await verifyOnDemand(artifacts, volume);
  await csi.unpublish(volume.id, volume.target, signal);
}

async function showMount(
  { stage, node, artifact, volume, signal }: Scene & Pushed,
  { csi }: Service,
): Promise<void> {
  const before = node.sent();
  await stage.step(
    () => publish(csi, volume, { reference: node.reference, loading: 'onDemand' }, signal),
    () =>
      `NodePublishVolume with loading: onDemand: mounted after ${formatSize(node.sent() - before)} of ${sizeOf(artifact.layers)}`,
  );
  stage.say(`\n${await formatTree(volume.target, 'mount')}\n`);
  await stage.step(
    async () => {
      const asked = node.sent();
      return { seen: await abortable(readEnd(volume, lastShard), signal), sent: node.sent() - asked };
    },
    ({ seen, sent }) =>
      `A read of the end of ${lastShard.name} comes first: it got the ${expect(seen, 'right')} bytes after ${formatSize(sent)}`,
  );
}

async function showKill({ stage, volume, signal }: Scene, { artifacts, daemon }: Service): Promise<void> {
  const isFar = ({ bytes, totalBytes }: LateStatus): boolean => bytes > totalBytes * killedAt;
  await stage.step(
    () => waitForBytes(stage, artifacts, volume, isFar, signal),
    ({ bytes, totalBytes }) => `The rest follows: ${formatSize(bytes)} of ${formatSize(totalBytes)} are here`,
  );
  await stage.step(
    () => daemon.kill(),
    () => 'The daemon is killed by SIGKILL',
  );
  await stage.step(
    async () => {
      expect((await readdir(volume.target)).length, largeModel.length);
      return await Promise.all(shards.map(shard => readEnd(volume, shard)));
    },
    ends => {
      const [right, missing] = ['right', 'EIO'].map(kind => ends.filter(end => end === kind).length);
      expect((right ?? 0) + (missing ?? 0), shards.length);
      return `The mount stays: ${right} of the ${shards.length} ends are right, and ${missing}, not here yet, give EIO`;
    },
  );
}

async function showEnd(
  { stage, node, artifact, volume, signal }: Scene & Pushed,
  { csi, artifacts, daemon }: Service,
): Promise<void> {
  await stage.step(
    () => waitForBytes(stage, artifacts, volume, isLoaded, signal),
    ({ totalBytes }) =>
      `All of ${formatSize(totalBytes)} is on the node; the registry has sent ${formatSize(node.sent())}`,
  );
  await stage.step(
    async () => {
      for (const { name = '' } of largeModel) {
        signal.throwIfAborted();
        expect(await withFile(join(volume.target, name), 'r', hashFile), digestOf(artifact, name));
      }
    },
    () => `Read through the same mount, all ${largeModel.length} files have their digests`,
  );
  await stage.step(
    () => csi.unpublish(volume.id, volume.target, signal),
    () => 'NodeUnpublishVolume: the mount and its directory are gone',
  );
  expect(await isThere(volume.target), false);
  await stage.step(
    () => daemon.stop(),
    code => `The daemon stopped on SIGTERM, exit code ${expect(code, 0)}`,
  );
}
