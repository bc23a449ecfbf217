import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitUntil } from '../support/node/child.ts';
import {
  type DaemonOptions,
  publishRequest,
  startDaemon,
  type TestDaemon,
  type TestNode,
  testNode,
} from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { type Shown, shownOf, verifyVolume } from '../support/node/volume.ts';
import { listenOn, type NetworkHost, openNetwork } from '../support/os/network.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../support/registry/faulty-registry.ts';

/** Each child is killed at the exit of this process. */
process.setMaxListeners(100);

/** A pushed artifact. `query`: the end of the path of each request for it, whoever asks. */
export type Artifact = {
  readonly reference: string;
  readonly query: string;
  /** The digests of its layers. */
  readonly layers: readonly string[];
  readonly bytes: number;
  readonly shown: Shown;
};

/** A node of the fleet. */
export type Member = {
  readonly node: TestNode;
  readonly daemon: () => TestDaemon;
  /** Whether this daemon was killed. */
  readonly killed: (daemon: TestDaemon) => boolean;
  /** Kills the daemon, and starts it again on the same state directory. */
  readonly restart: () => Promise<void>;
};

/** Nodes with a daemon each in network namespaces of their own, an origin, and a host for a cache. */
export type Fleet = AsyncDisposable & {
  readonly members: readonly Member[];
  readonly origin: FaultyRegistry;
  readonly cache: NetworkHost;
  /** Pushes random bytes to the origin. `registry` is the name that pods use; each takes one artifact. */
  push(registry: string, layers: number, layerBytes: number): Promise<Artifact>;
};

export type FleetPlan = {
  readonly nodes: number;
  /** The names of registries, all of them the origin, and the mirrors of each as text of hosts.toml. */
  readonly registries: Readonly<Record<string, (cache: NetworkHost) => string>>;
  readonly equip?: (place: Place) => Promise<Equipment>;
};

/** Where a node is, before its daemon starts. */
export type Place = {
  readonly name: string;
  readonly node: TestNode;
  readonly host: NetworkHost;
  readonly neighbors: readonly NetworkHost[];
};

/** What a node has beside its daemon, and what the daemon needs for that. */
export type Equipment = AsyncDisposable & Pick<DaemonOptions, 'flags' | 'env'>;

const nothing: Equipment = { async [Symbol.asyncDispose]() {} };

export async function openFleet({
  nodes,
  registries,
  equip = async () => nothing,
}: FleetPlan): Promise<Fleet> {
  await using stack = new AsyncDisposableStack();
  const network = stack.use(await openNetwork(nodes + 2));
  const [home, cache, ...hosts] = network.hosts as [NetworkHost, NetworkHost, ...NetworkHost[]];
  const origin = stack.use(await openFaultyRegistry({ listener: await listenOn(home) }));
  // Before the daemons start: they read changed files once a second.
  const files = Object.entries(registries).map(
    ([registry, mirrors]) => [registry, `server = "http://${origin.host}"\n${mirrors(cache)}`] as const,
  );
  const opened = await Promise.allSettled(
    hosts.map(async (host, nth) => {
      const place = { name: `node-${nth}`, host, neighbors: hosts.filter(other => other !== host) };
      return await openMember(place, files, equip);
    }),
  );
  const members = opened.flatMap(one => (one.status === 'fulfilled' ? [stack.use(one.value)] : []));
  const failed = opened.find(one => one.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  const resources = stack.move();
  return {
    members,
    origin,
    cache,
    async push(registry, layers, layerBytes) {
      const content = [...Array(layers).keys()].map(nth => ({
        name: `${nth}.bin`,
        bytes: randomBytes(layerBytes),
      }));
      const pushed = await origin.push('model', registry, content);
      return {
        reference: `${registry}/model:${registry}`,
        query: `?ns=${registry}`,
        layers: pushed.layers.map(({ digest }) => digest),
        bytes: layers * layerBytes,
        shown: shownOf(content.map(({ name, bytes }) => [name, bytes])),
      };
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

async function openMember(
  given: Omit<Place, 'node'>,
  files: readonly (readonly [registry: string, text: string])[],
  equip: NonNullable<FleetPlan['equip']>,
): Promise<Member & AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const node = stack.use(await testNode());
  const hostsDir = join(node.path, 'hosts');
  for (const [registry, text] of files) {
    await mkdir(join(hostsDir, registry), { recursive: true });
    await writeFile(join(hostsDir, registry, 'hosts.toml'), text);
  }
  const equipment = stack.use(await equip({ ...given, node }));
  const flags = { '--hosts-dir': hostsDir, '--node-id': given.name, ...equipment.flags };
  const start = (): Promise<TestDaemon> =>
    startDaemon(node, { ...equipment, within: given.host.enter, flags });
  let daemon = await start();
  const killed = new Set<TestDaemon>();
  stack.defer(() => daemon[Symbol.asyncDispose]());
  const resources = stack.move();
  return {
    node,
    daemon: () => daemon,
    killed: one => killed.has(one),
    async restart() {
      const old = daemon;
      killed.add(old);
      await old.end('SIGKILL');
      daemon = await start();
      await old[Symbol.asyncDispose]();
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/**
 * Mounts the artifact into one pod of a node as kubelet does, which calls again while it is pulled, and after the daemon
 * was killed. Verifies every byte, and ends the volume.
 *
 * @throws if a publish failed.
 */
export async function mountOnce(
  { node, daemon, killed }: Member,
  { reference, shown }: Artifact,
): Promise<void> {
  const request = await publishRequest(node, { reference });
  for (;;) {
    const asked = daemon();
    const call = asked.csi.NodePublishVolume(request, { deadline: Date.now() + 120_000 });
    const { code, text } = await outcomeOf(call);
    if (code === 'OK') break;
    if (code !== 'ABORTED' && !killed(asked)) throw new Error(`${code}: ${text}\n${asked.output()}`);
    await sleep(100);
  }
  verifyVolume(request.target_path, shown);
  await daemon().csi.NodeUnpublishVolume(request);
}

/** Waits until the origin has sent this part of one copy. */
export async function untilSent(
  { members, origin }: Fleet,
  { query, bytes }: Artifact,
  part: number,
): Promise<void> {
  const [member] = members;
  if (member !== undefined)
    await waitUntil(member.daemon(), () => origin.sent(query) > part * bytes, 'sent', 120_000);
}

/** What an origin sent of an artifact, and the requests for that. `refused`: those that it answered with 429. */
export type Row = {
  readonly copies: number;
  readonly requests: number;
  readonly refused: number;
  readonly seconds: number;
};

/** Mounts an artifact on all nodes at once, and counts what the origin sends until the last one has it. */
export async function measure(
  { members, origin }: Pick<Fleet, 'members' | 'origin'>,
  artifact: Artifact,
  meanwhile: () => Promise<void> = async () => {},
): Promise<Row> {
  const start = performance.now();
  await Promise.all([...members.map(member => mountOnce(member, artifact)), meanwhile()]);
  const seconds = (performance.now() - start) / 1000;
  // Not before: nodes may take it from each other.
  await Promise.all(members.map(({ daemon }) => daemon().artifacts.Prune({})));
  const requests = origin.asked.filter(({ path }) => path.endsWith(artifact.query)).length;
  return { copies: origin.sent(artifact.query) / artifact.bytes, requests, refused: 0, seconds };
}
