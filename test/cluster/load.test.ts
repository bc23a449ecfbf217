import assert from 'node:assert/strict';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { driverName } from '../support/cluster/driver.ts';
import { waitFor } from '../support/cluster/kubectl.ts';
import { artifact, namespace, pod, podSpec, type Volume } from '../support/cluster/objects.ts';
import { hosts } from '../support/cluster/registries.ts';
import { clusterNeeds, shareCluster } from '../support/cluster/shared.ts';
import { tarOf } from '../support/oci/tar.ts';
import { runProgram } from '../support/os/program.ts';
import { toolPath } from '../support/project/tools.ts';

const tiny = `${hosts.open}/models/tiny:1`;
const image = `${hosts.open}/images/tiny:1`;

type Volumes = Readonly<Record<string, Volume>>;
/** The times of the turns of each kind of pod, seconds. */
type Times = Readonly<Record<string, readonly number[]>>;

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

/** How much longer one kind takes: the median over pairs of turns, since the load of a machine changes. */
const ratioOf = (ours: readonly number[], theirs: readonly number[]): number =>
  median(ours.map((seconds, turn) => seconds / (theirs[turn] ?? 0)));

/** Prints how long each kind took, and how much longer than those the volumes of the driver took. Returns the most. */
function report(context: TestContext, what: string, { artifact: ours = [], ...others }: Times): number {
  const show = (kind: string, times: readonly number[]): void =>
    context.diagnostic(
      `${what} with ${kind}: ready after ${median(times).toFixed(2)} s (${times.map(time => time.toFixed(2)).join(', ')})`,
    );
  show('a cached artifact', ours);
  const ratios = Object.entries(others).map(([kind, times]) => {
    show(kind, times);
    const ratio = ratioOf(ours, times);
    context.diagnostic(`an artifact takes ${((ratio - 1) * 100).toFixed(1)} % longer than ${kind}`);
    return ratio;
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
      await push(`${hosts.open}/many/m${nth}:1`, { 'n.txt': String(nth), 'w.bin': weights });
    // What other tests have kubelet do every few seconds would be measured here.
    await stopKubelet();
    await startKubelet({ volumeStatsAggPeriod: '1m', syncFrequency: '1m' });
  });

  /** Starts pods at once; returns the seconds from `kubectl apply` until all are ready. */
  async function start(names: readonly string[], volumesOf: (nth: number) => Volumes): Promise<number> {
    const pods = names.map((path, nth) => {
      const [namespace = '', name = ''] = path.split('/');
      return pod(name, { namespace, volumes: volumesOf(nth) });
    });
    const began = performance.now();
    await cluster.apply(...pods);
    await cluster.ready(...names);
    return (performance.now() - began) / 1000;
  }

  /** Starts and removes pods of each kind in turns. */
  async function compare(
    count: number,
    turns: number,
    kinds: Readonly<Record<string, Volumes>>,
  ): Promise<Times> {
    const times: Record<string, number[]> = {};
    for (let turn = 0; turn < turns; turn++)
      for (const [kind, volumes] of Object.entries(kinds)) {
        const names = Array.from({ length: count }, (_, nth) => `default/p-${nth}`);
        (times[kind] ??= []).push(await start(names, () => volumes));
        await cluster.remove(...names);
      }
    return times;
  }

  test('thirty pods start at once, each with an artifact of its own, and end with their namespace', async (context: TestContext) => {
    await cluster.apply(namespace('own'));
    await waitFor('the service account', async () =>
      (await cluster.kubectl('get', 'serviceaccount', '-n', 'own')).includes('default'),
    );
    const names = Array.from({ length: 30 }, (_, nth) => `own/p-${nth}`);
    const seconds = await start(names, nth => ({ models: artifact(`${hosts.open}/many/m${nth}:1`) }));
    context.diagnostic(`30 pods, each with an artifact that is pulled: ready after ${seconds.toFixed(2)} s`);
    const read = await Promise.all(names.map(name => cluster.exec(name, 'cat', '/models/n.txt')));
    assert.deepEqual(
      read,
      names.map((_, nth) => String(nth)),
    );
    await cluster.kubectl('delete', 'namespace', 'own', '--timeout=120s');
    assert.equal(await cluster.run('ls', ['/var/lib/oci-artifact-csi/volumes']), '');
  });

  test('pods with a cached artifact start about as fast as those without a volume', async (context: TestContext) => {
    const times = await compare(30, 3, { 'no volume': {}, artifact: { models: artifact(tiny) } });
    assert.ok(report(context, '30 pods', times) < 1.5);
  });

  test('a pod with a cached artifact starts about as fast as with an image volume', async (context: TestContext) => {
    const [ours, theirs] = [{ models: artifact(image) }, { models: { image: { reference: image } } }];
    const first = ['default/ours', 'default/theirs'];
    await start(first, nth => (nth === 0 ? ours : theirs)); // they pull it
    await cluster.remove(...first);
    const kinds = { 'no volume': {}, artifact: ours, 'an image volume': theirs };
    assert.ok(report(context, 'a pod', await compare(1, 5, kinds)) < 2);
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
