import assert from 'node:assert/strict';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { driverName } from '../support/cluster/driver.ts';
import { cpuOfCgroup, driverCgroups } from '../support/cluster/driver-cgroups.ts';
import { waitFor } from '../support/cluster/kubectl.ts';
import { artifact, namespace, pod, podSpec, type Volume } from '../support/cluster/objects.ts';
import { type Median, medianOf, ratioOf } from '../support/cluster/paired.ts';
import { hosts } from '../support/cluster/registries.ts';
import { clusterNeeds, shareCluster } from '../support/cluster/shared.ts';
import { tarOf } from '../support/oci/tar.ts';
import { runProgram } from '../support/os/program.ts';
import { isVerbose, toolPath } from '../support/project/tools.ts';

const tiny = `${hosts.open}/models/tiny:1`;
const image = `${hosts.open}/images/tiny:1`;

/** The volumes of the nth pod. */
type Volumes = (nth: number) => Readonly<Record<string, Volume>>;
const noVolume: Volumes = () => ({});
const imageVolume: Volumes = () => ({ models: { image: { reference: image } } });
const emptyDirectory: Volumes = () => ({ models: { emptyDir: {} } });
const sameArtifact: Volumes = () => ({ models: artifact(tiny) });
/** The artifact of which only the nth pod has a volume. */
const ownReference = (nth: number): string => `${hosts.open}/many/m${nth}:1`;
/** Seconds from `kubectl apply` until all pods are ready; CPU seconds of the node until then, and of the driver. */
type Cost = { readonly ready: number; readonly cpu: number; readonly driverCpu: number };
/** What the turns of each kind of pod cost. */
type Costs = Readonly<Record<string, readonly Cost[]>>;

const of = (costs: readonly Cost[], what: keyof Cost): readonly number[] => costs.map(cost => cost[what]);
const percent = (ratio: number): string => `${((ratio - 1) * 100).toFixed(1)} %`;
const range = ({ median, least, most }: Median, format: (value: number) => string): string =>
  `${format(median)} (${format(least)} to ${format(most)})`;

/** Prints what each kind cost, and how much more pods with an artifact did. Returns the greatest ratios of CPU time. */
function report(
  context: TestContext,
  what: string,
  { artifact: ours = [], ...others }: Costs,
  label = 'a cached artifact',
): number {
  const show = (kind: string, costs: readonly Cost[]): void => {
    const [ready, cpu, driver] = (['ready', 'cpu', 'driverCpu'] as const).map(name =>
      range(medianOf(of(costs, name)), value => value.toFixed(2)),
    );
    context.diagnostic(
      `${what} with ${kind}: ready after ${ready} s; CPU ${cpu} s, of the driver ${driver} s`,
    );
  };
  show(label, ours);
  const ratios = Object.entries(others).map(([kind, costs]) => {
    show(kind, costs);
    const [wall, cpu] = (['ready', 'cpu'] as const).map(name => ratioOf(of(ours, name), of(costs, name)));
    if (wall === undefined || cpu === undefined) return Number.NaN;
    context.diagnostic(
      `an artifact takes ${range(wall, percent)} longer than ${kind}, and ${range(cpu, percent)} more CPU time`,
    );
    return cpu.median;
  });
  context.diagnostic(`load average ${loadavg()[0]?.toFixed(1)} of ${cpus().length} cores`);
  return Math.max(...ratios);
}

describe('many pods', clusterNeeds, () => {
  const cluster = shareCluster(async ({ installDriver, push, pushImage, stopKubelet, startKubelet }) => {
    const weights = Buffer.alloc(1_000_000, 'weights ');
    const tar = await tarOf([
      [{ name: 'hello.txt' }, 'hello'],
      [{ name: 'w.bin' }, weights],
    ]);
    await Promise.all([
      installDriver(),
      push(tiny, { 'hello.txt': 'hello', 'w.bin': weights }),
      pushImage(image, [tar]),
    ]);
    for (let nth = 0; nth < 30; nth++)
      await push(ownReference(nth), { 'n.txt': String(nth), 'w.bin': weights });
    // What other tests have kubelet do every few seconds would be measured here.
    await stopKubelet();
    await startKubelet({ volumeStatsAggPeriod: '1m', syncFrequency: '1m' });
  });

  /** Starts pods at once, and waits until all are ready. */
  async function start(names: readonly string[], volumesOf: Volumes): Promise<Cost> {
    const pods = names.map((path, nth) => {
      const [namespace = '', name = ''] = path.split('/');
      return pod(name, { namespace, volumes: volumesOf(nth) });
    });
    const spent = (): Cost => ({
      ready: performance.now() / 1000,
      cpu: cpuOfCgroup(cluster.cgroup),
      driverCpu: driverCgroups(cluster.cgroup).reduce((sum, directory) => sum + cpuOfCgroup(directory), 0),
    });
    const before = spent();
    await cluster.apply(...pods);
    await cluster.ready(...names);
    const after = spent();
    return {
      ready: after.ready - before.ready,
      cpu: after.cpu - before.cpu,
      driverCpu: after.driverCpu - before.driverCpu,
    };
  }

  async function pull(volumes: Volumes): Promise<void> {
    await start(['default/first'], volumes);
    await cluster.remove('default/first');
  }

  /** Asserts that the nth pod shows the artifact of its number. */
  async function assertOwn(names: readonly string[]): Promise<void> {
    const read = await Promise.all(names.map(name => cluster.exec(name, 'cat', '/models/n.txt')));
    assert.deepEqual(
      read,
      names.map((_, nth) => String(nth)),
    );
  }

  /**
   * Starts and removes pods of each kind in turns, each of which begins with another kind. `check`s those with an
   * artifact.
   */
  async function compare(
    count: number,
    turns: number,
    kinds: Readonly<Record<string, Volumes>>,
    check: (names: readonly string[]) => Promise<void> = async () => {},
  ): Promise<Costs> {
    const costs: Record<string, Cost[]> = {};
    const names = Array.from({ length: count }, (_, nth) => `default/p-${nth}`);
    const order = Object.entries(kinds);
    for (let turn = 0; turn < turns; turn++) {
      for (const [kind, volumes] of order) {
        (costs[kind] ??= []).push(await start(names, volumes));
        if (kind === 'artifact') await check(names);
        await cluster.remove(...names);
      }
      order.push(...order.splice(0, 1));
    }
    return costs;
  }

  test('thirty pods start at once, each with an artifact of its own, and end with their namespace', async (context: TestContext) => {
    await cluster.apply(namespace('own'));
    await waitFor('the service account', async () =>
      (await cluster.kubectl('get', 'serviceaccount', '-n', 'own')).includes('default'),
    );
    const names = Array.from({ length: 30 }, (_, nth) => `own/p-${nth}`);
    const { ready } = await start(names, nth => ({ models: artifact(ownReference(nth)) }));
    context.diagnostic(`30 pods, each with an artifact that is pulled: ready after ${ready.toFixed(2)} s`);
    await assertOwn(names);
    await cluster.kubectl('delete', 'namespace', 'own', '--timeout=120s');
    assert.equal(await cluster.run('ls', ['/var/lib/oci-artifact-csi/volumes']), '');
  });

  test('thirty pods start at once, each with an artifact of its own that is cached, beside thirty without a volume', async (context: TestContext) => {
    const own: Volumes = nth => ({ models: artifact(ownReference(nth), { pullPolicy: 'Never' }) });
    const kinds = { 'no volume': noVolume, artifact: own };
    // What it costs is printed: one turn is no measurement.
    const costs = await compare(30, 1, kinds, assertOwn);
    report(context, '30 pods', costs, 'a cached artifact each');
  });

  test('pods with a cached artifact start about as fast as those without a volume', async (context: TestContext) => {
    const kinds: Record<string, Volumes> = { 'no volume': noVolume, artifact: sameArtifact };
    // What kubelet and the runtime need for any volume is seen beside it.
    if (isVerbose) {
      Object.assign(kinds, { 'an emptyDir': emptyDirectory, 'an image volume': imageVolume });
      await pull(imageVolume);
    }
    const costs = await compare(30, isVerbose ? 7 : 3, kinds);
    assert.ok(report(context, '30 pods', costs) < 1.25);
  });

  test('a pod with a cached artifact starts about as fast as with an image volume', async (context: TestContext) => {
    const ours: Volumes = () => ({ models: artifact(image) });
    await pull(ours);
    await pull(imageVolume);
    const kinds = { 'no volume': noVolume, artifact: ours, 'an image volume': imageVolume };
    const costs = await compare(1, isVerbose ? 15 : 5, kinds);
    assert.ok(report(context, 'a pod', costs) < 1.5);
  });

  test('a job reads its artifact in each of its pods', async () => {
    const container = { command: ['grep', 'hello', '/models/hello.txt'] };
    const spec = { ...podSpec({ volumes: { models: artifact(tiny) }, container }), restartPolicy: 'Never' };
    await cluster.apply({
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name: 'readers', namespace: 'default' },
      spec: { parallelism: 4, completions: 8, backoffLimit: 0, template: { spec } },
    });
    await cluster.kubectl('wait', '--for=condition=Complete', 'job/readers', '--timeout=90s');
    await waitFor(
      'the volumes of ended pods are unmounted',
      async () => (await cluster.run('ls', ['/var/lib/oci-artifact-csi/volumes'])) === '',
    );
    await cluster.kubectl('delete', 'job', 'readers');
  });

  test('grpcurl asks the driver from outside of the cluster', async () => {
    await cluster.apply(pod('asked', { volumes: { models: artifact(tiny) } }));
    await cluster.ready('asked');
    const socket = join(cluster.root, 'var/lib/kubelet/plugins', driverName, 'csi.sock');
    const call = (method: string): string =>
      runProgram(toolPath('grpcurl'), '-plaintext', '-unix', socket, method);
    assert.match(call('csi.v1.Identity/GetPluginInfo'), /"name": "oci-artifact\.csi\.internal"/);
    assert.match(
      call('ociartifact.v1.Artifacts/ListVolumes'),
      /"reference": "registry\.test:5000\/models\/tiny:1"/,
    );
    await cluster.remove('asked');
  });
});
