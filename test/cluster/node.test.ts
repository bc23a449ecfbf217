import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, type TestContext, test } from 'node:test';
import { version } from '../../src/util/version.ts';
import { chart, driverNamespace, driverSet, registriesConf, repository } from '../support/cluster/driver.ts';
import { waitFor } from '../support/cluster/kubectl.ts';
import { artifact, pod } from '../support/cluster/objects.ts';
import { hosts } from '../support/cluster/registries.ts';
import { clusterNeeds, shareCluster } from '../support/cluster/shared.ts';
import { assertUnnoticed, driverImage, nextVersion, pushNextDriver } from '../support/cluster/update.ts';

const tiny = `${hosts.open}/models/tiny:1`;
const numbered = (name: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_, index) => `${name}-${index}`);

/** An update that ends the driver before the next one starts, so that none with a good configuration stays. */
const updateStrategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge: 0, maxUnavailable: 1 } };

describe('the life of a node', clusterNeeds, () => {
  const cluster = shareCluster(async ({ push }) => {
    await push(tiny, { 'hello.txt': 'hello' });
  });
  beforeEach(async () => {
    await cluster.installDriver();
    await cluster.kubectl('delete', 'pod', '--all', '--timeout=60s');
    await untilNoneIsMounted();
  });

  /** The number of volumes that are mounted on the node. */
  async function mounted(): Promise<number> {
    const list = await cluster.run('cat', ['/proc/1/mountinfo']);
    return list.split('\n').filter(line => /kubernetes\.io~csi\/[^/]+\/mount /.test(line)).length;
  }

  async function untilNoneIsMounted(): Promise<void> {
    await waitFor('no volume is mounted', async () => (await mounted()) === 0);
  }

  /** The logs of all pods of the driver, also of those that wait to be started again. */
  async function driverLogs(): Promise<string> {
    const pods = await cluster.kubectl('get', 'pod', '-n', driverNamespace, '--output=name');
    const logs = pods
      .trim()
      .split('\n')
      .map(name => cluster.kubectl('-n', driverNamespace, 'logs', name).catch(() => ''));
    return (await Promise.all(logs)).join('');
  }

  async function applyPods(names: readonly string[], reference = tiny): Promise<void> {
    await cluster.apply(...names.map(name => pod(name, { volumes: { models: artifact(reference) } })));
  }

  test('pods stay when kubelet restarts, and the driver registers again', async () => {
    await applyPods(['before']);
    await cluster.ready('before');
    await cluster.stopKubelet();
    await cluster.startKubelet();
    await applyPods(['after']);
    await cluster.ready('before', 'after');
    assert.equal(await cluster.exec('before', 'cat', '/models/hello.txt'), 'hello');
    const status = await cluster.kubectl(
      'get',
      'pod',
      'before',
      '-o=jsonpath={.status.containerStatuses[0].restartCount}',
    );
    assert.equal(status, '0');
    await cluster.remove('before', 'after');
    await untilNoneIsMounted();
  });

  test('pods of a node whose kubelet was down when they were deleted leave no volume', async () => {
    await applyPods(['orphan']);
    await cluster.ready('orphan');
    await cluster.stopKubelet();
    await cluster.kubectl('delete', 'pod', 'orphan', '--force', '--grace-period=0');
    assert.equal(await mounted(), 1);
    await cluster.startKubelet();
    await untilNoneIsMounted();
  });

  test('through a rolling update no second is without a driver: reads, new pods and a pull go on', async (context: TestContext) => {
    const [large, size] = [`${hosts.slow}/models/large:1`, 8_000_000];
    await cluster.push(`${hosts.open}/models/large:1`, { 'large.bin': Buffer.alloc(size, 'large ') });
    await cluster.setRate(size / 20);
    await applyPods(['pulling'], large);
    const sent = await cluster.sentSlowly();
    await waitFor('a part of the pull is there', async () => (await cluster.sentSlowly()) > sent + size / 4);
    await assertUnnoticed(context, cluster, tiny, () =>
      cluster.kubectl('-n', driverNamespace, 'rollout', 'restart', driverSet),
    );
    await cluster.ready('pulling');
    const downloaded = (await cluster.sentSlowly()) - sent;
    assert.ok(
      downloaded < size * 1.25,
      `what was there is not downloaded again: ${downloaded} of ${size} bytes`,
    );
  });

  test('helm rollback to the version before goes unnoticed, and volumes stay', async (context: TestContext) => {
    await applyPods(['kept']);
    await cluster.ready('kept');
    const release = async (): Promise<string> =>
      await cluster.run('helm', ['list', '--namespace', driverNamespace, '--output=json']);
    const image = await driverImage(cluster);
    const next = `${repository}@${await pushNextDriver(cluster)}`;
    const unpack = `tar -C /tmp -xzf ${chart}; sed -i 's/${version}/${nextVersion}/' /tmp/oci-artifact-csi/Chart.yaml`;
    await cluster.run('sh', ['-euc', unpack]);
    const upgrade = ['upgrade', 'oci-artifact-csi', '/tmp/oci-artifact-csi', '--namespace', driverNamespace];
    const changed = ['--reuse-values', '--set', `image.digest=${next.split('@')[1]}`];
    await cluster.run('helm', [...upgrade, ...changed]);
    await cluster.kubectl('-n', driverNamespace, 'rollout', 'status', driverSet, '--timeout=90s');
    assert.equal(await driverImage(cluster), next);
    assert.ok((await release()).includes(`"chart":"oci-artifact-csi-${nextVersion}"`));

    await assertUnnoticed(context, cluster, tiny, () =>
      cluster.run('helm', ['rollback', 'oci-artifact-csi', '--namespace', driverNamespace]),
    );
    assert.equal(await driverImage(cluster), image);
    assert.ok((await release()).includes(`"chart":"oci-artifact-csi-${version}"`));
    assert.equal(await cluster.exec('kept', 'cat', '/models/hello.txt'), 'hello');
    await cluster.remove('kept');
    await untilNoneIsMounted();
  });

  test('an update to a driver that cannot read the state directory leaves the old one in charge, and says why', async () => {
    const format = join(cluster.root, 'var/lib/oci-artifact-csi/format');
    const layout = readFileSync(format, 'utf8');
    const newer = Number(layout) + 1;
    await applyPods(['before']);
    await cluster.ready('before');
    writeFileSync(format, `${newer}\n`);
    await cluster.kubectl('-n', driverNamespace, 'rollout', 'restart', driverSet);
    await waitFor('the new driver says why', async () =>
      (await driverLogs()).includes(
        `has layout version ${newer}, and this program knows up to ${newer - 1}: run a newer one`,
      ),
    );
    await applyPods(['meanwhile']);
    await cluster.ready('meanwhile');
    assert.equal(await cluster.exec('before', 'cat', '/models/hello.txt'), 'hello');
    writeFileSync(format, layout);
    await cluster.kubectl('-n', driverNamespace, 'rollout', 'status', driverSet, '--timeout=90s');
  });

  test('pods that are deleted while there is no driver end when it is back', async () => {
    const names = numbered('waiting', 3);
    await applyPods(names);
    await cluster.ready(...names);
    const uninstalled = ['delete', driverSet, '-n', driverNamespace, '--cascade=foreground', '--timeout=60s'];
    await cluster.kubectl(...uninstalled);
    await cluster.kubectl('delete', 'pod', '--wait=false', ...names);
    await waitFor('the containers have ended', async () => {
      const running = await cluster.run('ctr', ['--namespace=k8s.io', 'tasks', 'list', '--quiet']);
      return running.trim() === '';
    });
    assert.equal(await mounted(), 3);
    await cluster.installDriver();
    await cluster.kubectl('wait', '--for=delete', 'pod', ...names, '--timeout=60s');
    assert.equal(await mounted(), 0);
    assert.equal(await cluster.run('ls', ['/var/lib/oci-artifact-csi/volumes']), '');
  });

  test('a broken ConfigMap takes no volume from a pod, and pods start from the cache', async () => {
    await applyPods(['settled']);
    await cluster.ready('settled');
    const names = ['get', 'pod', '-n', driverNamespace, '--output=name'];
    const before = (await cluster.kubectl(...names)).trim();
    await cluster.configureDriver({
      registriesConf: { inline: '[[registry' },
      podAnnotations: { revision: '2' },
      updateStrategy,
    });
    await waitFor('a new driver says what is broken', async () => {
      if ((await cluster.kubectl(...names)).includes(before)) return false;
      return (await cluster.driverLog().catch(() => '')).includes('registries.conf:1');
    });
    const reference = await cluster.push(`${hosts.open}/models/uncached:1`, { 'hello.txt': 'uncached' });
    await applyPods(['cached']);
    await applyPods(['uncached'], reference);
    await cluster.ready('cached');
    await cluster.event('uncached', /registries\.conf:1/);
    assert.equal(await cluster.exec('settled', 'cat', '/models/hello.txt'), 'hello');
    await cluster.installDriver({ registriesConf: { inline: registriesConf } });
    await cluster.ready('uncached');
  });

  test('without Bidirectional propagation the driver is not ready, and says what to set', async () => {
    const path = '/spec/template/spec/containers/0/volumeMounts/0/mountPropagation';
    const patch = JSON.stringify([
      { op: 'replace', path: '/spec/updateStrategy', value: updateStrategy },
      { op: 'replace', path, value: 'HostToContainer' },
    ]);
    await cluster.kubectl('-n', driverNamespace, 'patch', driverSet, '--type=json', `--patch=${patch}`);
    await waitFor('the driver says what to set', async () =>
      (await cluster.driverLog().catch(() => '')).includes('mountPropagation: Bidirectional'),
    );
    await applyPods(['empty']);
    await cluster.event(
      'empty',
      /mountPropagation: Bidirectional|not found in the list of registered CSI drivers/,
    );
    await cluster.kubectl('-n', driverNamespace, 'rollout', 'undo', driverSet);
    await cluster.ready('empty');
    assert.equal(await cluster.exec('empty', 'cat', '/models/hello.txt'), 'hello');
  });

  test('under DiskPressure pods are evicted, their volumes end, and the driver stays', async () => {
    await applyPods(['evicted']);
    await cluster.ready('evicted');
    await cluster.stopKubelet();
    await cluster.startKubelet({ evictionHard: { 'nodefs.available': '99%', 'imagefs.available': '1%' } });
    await waitFor('the pod is evicted', async () => {
      const reason = await cluster.kubectl('get', 'pod', 'evicted', '-o=jsonpath={.status.reason}');
      return reason === 'Evicted';
    });
    await untilNoneIsMounted();
    const drivers = await cluster.kubectl(
      'get',
      'pod',
      '-n',
      driverNamespace,
      '-o=jsonpath={.items[*].status.phase}',
    );
    assert.equal(drivers, 'Running');
    await cluster.stopKubelet();
    await cluster.startKubelet();
    await cluster.kubectl('wait', '--for=condition=DiskPressure=False', 'node', '--all', '--timeout=60s');
  });

  test('after a power cut, without a registry and with the tag moved, pods have what they had', async () => {
    const moved = `${hosts.open}/models/moved:1`;
    await cluster.push(moved, { 'hello.txt': 'old' });
    const names = numbered('kept', 3);
    await applyPods(names, moved);
    await cluster.ready(...names);
    await cluster.push(moved, { 'hello.txt': 'new' });
    await cluster.cutPower();
    await cluster.bootAgain(false);
    await waitFor('the pods run again', async () => {
      const restarts =
        'jsonpath={range .items[*]}{.status.containerStatuses[0].restartCount}{" "}{.status.containerStatuses[0].ready}{"\\n"}{end}';
      const lines = (await cluster.kubectl('get', 'pod', `-o=${restarts}`)).trim().split('\n');
      return lines.length === names.length && lines.every(line => /^[1-9]\d* true$/.test(line));
    });
    for (const name of names) assert.equal(await cluster.exec(name, 'cat', '/models/hello.txt'), 'old');
  });
});
