import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { afterEach, describe, type TestContext, test } from 'node:test';
import { driverNamespace, driverSet } from '../support/cluster/driver.ts';
import { waitFor } from '../support/cluster/kubectl.ts';
import { artifact, pod, secret } from '../support/cluster/objects.ts';
import { alice, hosts } from '../support/cluster/registries.ts';
import { clusterNeeds, shareCluster } from '../support/cluster/shared.ts';
import { sha256 } from '../support/oci/tar.ts';

const size = 4_000_000;
/** At the one, a test is over before a file is here; at the other, it comes at once. */
const [slow, fast] = [5_000, 100_000_000];

type Loading = { readonly waitingReads: number; readonly problem?: string };
type VolumeOutput = { readonly loading?: Loading };

describe('volumes that are loaded on demand', clusterNeeds, () => {
  const cluster = shareCluster(async () => {});
  afterEach(async () => {
    await cluster.kubectl('delete', 'pod', '--all', '--timeout=60s');
  });

  async function push(name: string) {
    const weights = randomBytes(size);
    await cluster.push(`${hosts.open}/models/${name}:1`, { 'config.json': '{}', 'weights.bin': weights });
    const reference = `${hosts.slow}/models/${name}:1`;
    return { volume: artifact(reference, { loading: 'onDemand' }), digest: sha256(weights).slice(7) };
  }

  /** Reads the file by its volume and by a subPath of it, each until it succeeds. */
  const reading = {
    command: [
      'sh',
      '-c',
      'for file in /models/weights.bin /one; do (until sha256sum $file; do echo failed; sleep 0.2; done) & done; wait; sleep 100000',
    ],
    volumeMounts: [
      { name: 'models', mountPath: '/models' },
      { name: 'models', mountPath: '/one', subPath: 'weights.bin' },
    ],
  };

  async function waitingReads(): Promise<number> {
    const volumes = JSON.parse(await cluster.command('volumes', '--output=json')) as readonly VolumeOutput[];
    return volumes.reduce((sum, { loading }) => sum + (loading?.waitingReads ?? 0), 0);
  }

  const untilReadsWait = (): Promise<void> => waitFor('reads wait', async () => (await waitingReads()) >= 1);

  /** The log of a pod, once it has read both files. */
  async function logOnceRead(name: string, digest: string): Promise<string> {
    let log = '';
    await waitFor(`${name} has read right bytes`, async () => {
      log = await cluster.kubectl('logs', name);
      return log.split(digest).length > 2;
    }).catch((error: unknown) => {
      throw new Error(`${String(error)}, but wrote\n${log}`, { cause: error });
    });
    return log;
  }

  for (const enabled of [true, false])
    test(`while the driver is updated ${enabled ? 'with a holder, reads of a pod with a user namespace of its own wait' : 'without a holder, reads fail, and succeed later'}`, async (context: TestContext) => {
      await cluster.installDriver({ holder: { enabled } });
      if (enabled)
        await waitFor('the holder is used', async () =>
          /reads wait while no daemon runs/.test(await cluster.command('status')),
        );
      const { volume, digest } = await push(`held-${enabled}`);
      await cluster.setRate(slow);
      const spec = enabled ? { hostUsers: false } : {};
      await cluster.apply(pod('reader', { volumes: { models: volume }, container: reading, spec }));
      await cluster.ready('reader');
      await untilReadsWait();
      const began = performance.now();
      await cluster.kubectl('-n', driverNamespace, 'rollout', 'restart', driverSet);
      await cluster.kubectl('-n', driverNamespace, 'rollout', 'status', driverSet, '--timeout=90s');
      context.diagnostic(`replaced in ${((performance.now() - began) / 1000).toFixed(1)} s`);
      await cluster.setRate(fast);
      const log = await logOnceRead('reader', digest);
      const failures = log.split('failed').length - 1;
      context.diagnostic(`${failures} reads failed`);
      assert.equal(failures === 0, enabled, log);
      if (!enabled) assert.match(log, /Input\/output error/);
    });

  test('a container that is killed while it reads starts again, and a pod that is deleted ends', async () => {
    await cluster.installDriver();
    const { volume, digest } = await push('killed');
    await cluster.setRate(slow);
    for (const name of ['killed', 'deleted'])
      await cluster.apply(pod(name, { volumes: { models: volume }, container: reading }));
    await cluster.ready('killed', 'deleted');
    await untilReadsWait();
    const ofContainer = async (field: string): Promise<string> =>
      await cluster.kubectl('get', 'pod', 'killed', `-o=jsonpath={.status.containerStatuses[0].${field}}`);
    const id = (await ofContainer('containerID')).replace('containerd://', '');
    await cluster.run('ctr', ['--namespace=k8s.io', 'tasks', 'kill', '--all', '--signal=SIGKILL', id]);
    await waitFor('it is started again', async () => (await ofContainer('restartCount')) === '1');
    await cluster.remove('deleted');
    assert.ok((await waitingReads()) > 0, 'nothing of this needs the content');
    await cluster.setRate(fast);
    assert.doesNotMatch(await logOnceRead('killed', digest), /failed/);
  });

  test('where kubelet publishes volumes again and again, one that fails leaves the pod alone', async (context: TestContext) => {
    await cluster.installDriver({ requiresRepublish: true });
    const reference = `${hosts.private}/private/model:1`;
    await cluster.push(reference, { 'hello.txt': 'hello' });
    await cluster.apply(secret('alice', alice));
    const { csi } = artifact(reference) as { csi: object };
    const volumes = { models: { csi: { ...csi, nodePublishSecretRef: { name: 'alice' } } } };
    await cluster.apply(pod('again', { volumes }));
    await cluster.ready('again');
    const first = await published();
    const began = performance.now();
    const calls = 2;
    await waitFor(
      'it is published again',
      async () => (await published()).count >= first.count + calls,
      400_000,
    );
    const last = await published();
    const each = (performance.now() - began) / 1000 / (last.count - first.count);
    const ms = ((last.seconds - first.seconds) / (last.count - first.count)) * 1000;
    context.diagnostic(`one call in ${each.toFixed(0)} s for a volume, which takes ${ms.toFixed(1)} ms`);
    await cluster.kubectl('delete', 'secret', 'alice');
    await waitFor(
      'a call fails',
      async () => (await cluster.events('again')).some(text => /secrets? "alice" not found/.test(text)),
      400_000,
    );
    await cluster.ready('again');
    assert.equal(await cluster.exec('again', 'cat', '/models/hello.txt'), 'hello');
    const path = '-o=jsonpath={.status.containerStatuses[0].restartCount}';
    assert.equal(await cluster.kubectl('get', 'pod', 'again', path), '0');
  });

  /** What kubelet counted of its calls of NodePublishVolume. */
  async function published(): Promise<{ readonly count: number; readonly seconds: number }> {
    const lines = (await cluster.askKubelet('metrics')).split('\n');
    const sum = (name: string): number =>
      lines
        .filter(
          line => line.startsWith(`csi_operations_seconds_${name}{`) && line.includes('NodePublishVolume'),
        )
        .reduce((total, line) => total + Number(line.split(' ').at(-1)), 0);
    return { count: sum('count'), seconds: sum('sum') };
  }
});
