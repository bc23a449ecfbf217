import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { driverName } from '../support/cluster/driver.ts';
import { waitFor } from '../support/cluster/kubectl.ts';
import { artifact, namespace, pod, podSpec, type Volume } from '../support/cluster/objects.ts';
import { hosts } from '../support/cluster/registries.ts';
import { clusterNeeds, shareCluster } from '../support/cluster/shared.ts';
import { runProgram } from '../support/os/program.ts';
import { toolPath } from '../support/project/tools.ts';

const tiny = `${hosts.open}/models/tiny:1`;
const many = Array.from({ length: 30 }, (_, index) => index);

describe('many pods', clusterNeeds, () => {
  const cluster = shareCluster(async ({ installDriver, push }) => {
    const weights = Buffer.alloc(1_000_000, 'weights ');
    await Promise.all([installDriver(), push(tiny, { 'hello.txt': 'hello', 'w.bin': weights })]);
    for (const number of many)
      await push(`${hosts.open}/many/m${number}:1`, { 'n.txt': String(number), 'w.bin': weights });
  });

  /** Starts pods at once; returns the seconds from `kubectl apply` until all are ready. */
  async function start(
    name: string,
    volumeOf: (number: number) => Readonly<Record<string, Volume>>,
  ): Promise<number> {
    await cluster.apply(namespace(name));
    await waitFor('the service account', async () =>
      (await cluster.kubectl('get', 'serviceaccount', '-n', name)).includes('default'),
    );
    const began = performance.now();
    await cluster.apply(
      ...many.map(number => pod(`p-${number}`, { namespace: name, volumes: volumeOf(number) })),
    );
    await cluster.ready(...many.map(number => `${name}/p-${number}`));
    return (performance.now() - began) / 1000;
  }

  async function end(name: string): Promise<number> {
    const began = performance.now();
    await cluster.kubectl('delete', 'namespace', name, '--timeout=120s');
    return (performance.now() - began) / 1000;
  }

  test('thirty pods start at once, with one artifact, with one each, and with none', async (context: TestContext) => {
    const cases = {
      none: () => ({}),
      own: (number: number) => ({ models: artifact(`${hosts.open}/many/m${number}:1`) }),
      one: () => ({ models: artifact(tiny) }),
      cached: () => ({ models: artifact(tiny) }),
      'none-again': () => ({}),
    };
    for (const [name, volumes] of Object.entries(cases)) {
      const seconds = await start(name, volumes);
      if (name === 'own') {
        const read = await Promise.all(
          many.map(number => cluster.exec(`own/p-${number}`, 'cat', '/models/n.txt')),
        );
        assert.deepEqual(read, many.map(String));
      }
      const ended = await end(name);
      context.diagnostic(`${name}: ready after ${seconds.toFixed(1)} s, deleted in ${ended.toFixed(1)} s`);
    }
    const left = await cluster.run('ls', ['/var/lib/oci-artifact-csi/volumes']);
    assert.equal(left, '');
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
