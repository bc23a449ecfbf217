import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { version } from '../../src/util/version.ts';
import { denials, denyingValues, storedAs } from '../support/cluster/denials.ts';
import { driverNamespace, driverSet, repository } from '../support/cluster/driver.ts';
import { type PodEvent, waitFor } from '../support/cluster/kubectl.ts';
import { artifact, namespace, pod } from '../support/cluster/objects.ts';
import { hosts } from '../support/cluster/registries.ts';
import { clusterNeeds, shareCluster } from '../support/cluster/shared.ts';
import { assertUnnoticed, driverImage, nextVersion, pushNextDriver } from '../support/cluster/update.ts';

const project = fileURLToPath(new URL('../..', import.meta.url));

/** The command of the README. */
const install =
  /^kubectl kustomize deploy .*$/m.exec(readFileSync(join(project, 'README.md'), 'utf8'))?.[0] ?? '';

/** An artifact that no registry has. */
const loaded = 'registry.example.com/models/tiny:1';
const tiny = `${hosts.open}/models/tiny:1`;
const listed = `${hosts.open}/models/listed:1`;
const foreign = `${hosts.open}/models/foreign:1`;

/** A node starts within a twentieth of the interval. */
const artifacts = [
  { reference: listed, interval: '1m', nodeSelector: { 'kubernetes.io/os': 'linux' } },
  { reference: foreign, interval: '1m', nodeSelector: { 'kubernetes.io/os': 'windows' } },
];

/** A rule of the access policy that knows a namespace by its labels. */
const noTrials = {
  name: 'no trials',
  namespaceSelector: { matchLabels: { stage: 'trial' } },
  references: [`${hosts.open}/models/**`],
  action: 'deny',
};

/** @param denies whether the files of the ConfigMap deny artifacts. */
const valuesOf = (denies: boolean): object => ({
  admission: { setReadOnly: true, validate: true, deniedReferences: ['/denied/'] },
  prefetch: { inline: { artifacts } },
  ...denyingValues(denies, [noTrials]),
  uninstallGuard: true,
});
const configMaps = '/var/lib/kubelet/pods/*/volumes/kubernetes.io~configmap';

describe('options of the chart', clusterNeeds, () => {
  const cluster = shareCluster(async ({ installDriver, push }) => {
    await push(tiny, { 'hello.txt': 'hello' });
    await push(listed, { 'hello.txt': 'listed' });
    await push(foreign, { 'hello.txt': 'foreign' });
    for (const denial of denials) await push(storedAs(denial), { 'hello.txt': 'hello' });
    await installDriver(valuesOf(false));
  });

  const applyManifests = (command: string): Promise<string> =>
    cluster.run('sh', ['-euc', `cd ${project}; REGISTRY=${hosts.open}; ${command}`]);

  test('the owner of a pod sees a pull, a mount from the cache and an error as events of the driver', async () => {
    const reference = await cluster.push(`${hosts.open}/models/new:1`, { 'hello.txt': 'new' });
    const start = (name: string, of: string): Promise<void> =>
      cluster.apply(pod(name, { volumes: { models: artifact(of) } }));
    const eventsOf = async (component: string, name: string): Promise<readonly PodEvent[]> =>
      (await cluster.podEvents(name)).filter(({ source }) => source.component === component);
    const told = async (name: string): Promise<string> => {
      const events = await eventsOf('oci-artifact-csi', name);
      return events
        .map(({ type, message }) => `${type} ${message}`)
        .toSorted()
        .join('\n');
    };
    await start('pulls', reference);
    await cluster.ready('pulls');
    await waitFor('the end of the pull is told', async () => (await told('pulls')).includes('Pulled'));
    const subject = 'registry\\.test:5000/models/new:1 for the volume "models"';
    const pulled = `Normal Pulled ${subject} in .* s: .* at .*, sha256:[0-9a-f]{64}`;
    assert.match(await told('pulls'), new RegExp(`^${pulled}\nNormal Pulling ${subject}: .*$`));
    await start('cached', reference);
    await cluster.ready('cached');
    await waitFor('the mount is told', async () => (await told('cached')) !== '');
    const mounted = `Normal Mounted ${subject} from the cache: 3 B, sha256:[0-9a-f]{64}`;
    assert.match(await told('cached'), new RegExp(`^${mounted}$`));

    await start('missing', `${hosts.open}/models/missing:1`);
    let events: readonly PodEvent[] = [];
    await waitFor('the error is told three times', async () => {
      events = await eventsOf('oci-artifact-csi', 'missing');
      return (events[0]?.count ?? 0) >= 3;
    });
    assert.deepEqual(
      events.map(({ type, reason }) => `${type} ${reason}`),
      ['Warning FailedMount'],
    );
    const message = events[0]?.message ?? '';
    assert.match(message, /^registry\.test:5000\/models\/missing:1 does not exist: /);
    const [ofKubelet] = await eventsOf('kubelet', 'missing');
    assert.equal(ofKubelet?.message.split('rpc error: ')[1], `code = NotFound desc = ${message}`);
    await cluster.kubectl('delete', 'pod', '--wait=false', 'pulls', 'cached', 'missing');
  });

  test('a changed ConfigMap counts for the next pods, and the driver is not restarted', async () => {
    const start = async (when: string): Promise<readonly string[]> => {
      const pods = denials.map(({ reference }, nth) =>
        pod(`${when}-${nth}`, { volumes: { models: artifact(reference, { pullPolicy: 'Always' }) } }),
      );
      await cluster.apply(...pods);
      return denials.map((_, nth) => `${when}-${nth}`);
    };
    const change = async (denies: boolean): Promise<void> => {
      await cluster.installDriver(valuesOf(denies));
      await waitFor('kubelet has written the files', async () => {
        const read = cluster.run('sh', ['-c', `find -L ${configMaps} -type f | xargs cat`]);
        const texts = await read.catch(() => undefined); // they are being replaced
        return texts !== undefined && denials.every(({ text }) => texts.includes(text) === denies);
      });
      await sleep(1000); // as often as the driver looks at them
    };
    const container = '.status.containerStatuses[0]';
    const fields = [
      `{.metadata.uid}`,
      `{${container}.restartCount}`,
      `{${container}.state.running.startedAt}`,
    ];
    const drivers = [
      'get',
      'pod',
      '-n',
      driverNamespace,
      `-o=jsonpath={range .items[*]}${fields.join(' ')}{end}`,
    ];
    const before = await cluster.kubectl(...drivers);
    assert.match(before, /^\S+ 0 20\S+$/);

    const allowed = await start('allowed');
    await cluster.ready(...allowed);
    await change(true);
    for (const [nth, name] of (await start('denied')).entries())
      await cluster.event(name, denials[nth]?.message ?? /never/);
    await change(false);
    const again = await start('again');
    await cluster.ready(...allowed, ...again);
    assert.equal(await cluster.kubectl(...drivers), before);
    await cluster.kubectl('delete', 'pod', '--all', '--wait=false');
  });

  test('an artifact of the prefetch list is there before any pod asks', async () => {
    await waitFor('the artifact is cached', async () =>
      (await cluster.command('ls')).includes('models/listed'),
    );
    await cluster.apply(pod('offline', { volumes: { models: artifact(listed, { pullPolicy: 'Never' }) } }));
    await cluster.ready('offline');
    assert.equal(await cluster.exec('offline', 'cat', '/models/hello.txt'), 'listed');
    assert.doesNotMatch(await cluster.command('ls'), /models\/foreign/);
  });

  test('an access policy knows namespaces by their labels', async () => {
    await cluster.apply(namespace('trial', { stage: 'trial' }));
    await cluster.apply(pod('tried', { namespace: 'trial', volumes: { models: artifact(tiny) } }));
    await cluster.event('trial/tried', /PermissionDenied desc = .*namespace "trial".*rule "no trials"/);
    await cluster.kubectl('delete', 'namespace', 'trial', '--timeout=60s');
  });

  test('the driver may ask the API for what its features need, and for nothing else', async () => {
    const account = `--as=system:serviceaccount:${driverNamespace}:oci-artifact-csi`;
    const list = await cluster.kubectl('auth', 'can-i', '--list', '--no-headers', account);
    const rules = list.split('\n').map(line => line.trim().split(/ {2,}/));
    // Every account may review itself, and has the paths of discovery.
    const own = rules.filter(([resource = '']) => /^[a-z]+$/.test(resource));
    assert.deepEqual(own.map(([resource, , , verbs]) => `${resource} ${verbs}`).toSorted(), [
      'events [create patch]',
      'namespaces [get]',
      'nodes [get]',
      'pods [get]',
      'secrets [get]',
      'serviceaccounts [get]',
    ]);
  });

  for (const websockets of ['true', 'false'])
    test(`kubectl port-forward reaches the status page, with websockets: ${websockets}`, async () => {
      await cluster.apply(pod('shown', { volumes: { models: artifact(tiny) } }));
      await cluster.ready('shown');
      const forward = ['port-forward', '-n', driverNamespace, driverSet, '9810'];
      const variable = `KUBECTL_PORT_FORWARD_WEBSOCKETS=${websockets}`;
      const forwarder = await cluster.start('port-forward', 'env', [variable, 'kubectl', ...forward]);
      const get = (path: string): Promise<string> =>
        cluster.run('curl', ['--silent', '--show-error', '--fail', `http://localhost:9810${path}`]);
      await waitFor('the port is forwarded', async () => (await get('/').catch(() => '')) !== '');
      const page = await get('/?search=shown');
      assert.match(page, /default\/<\/span><wbr>shown/);
      assert.match(page, /mounted/);
      assert.match(await get('/page.js'), /fetch/);
      await forwarder.stop();
      await assert.rejects(get('/'), /connect/);
    });

  test('the guard refuses to uninstall the driver while pods use it', async () => {
    await cluster.apply(pod('user', { volumes: { models: artifact(tiny) } }));
    await cluster.ready('user');
    const uninstall = ['uninstall', 'oci-artifact-csi', '--namespace', driverNamespace, '--timeout=60s'];
    await assert.rejects(cluster.run('helm', uninstall), /pre-delete|failed/);
    assert.equal(await cluster.exec('user', 'cat', '/models/hello.txt'), 'hello');
    await cluster.kubectl('delete', 'pod', '--all', '--timeout=60s');
    await cluster.run('helm', uninstall);
    await waitFor(
      'the driver is gone',
      async () => (await cluster.kubectl('get', 'pod', '-n', driverNamespace, '--output=name')) === '',
    );
    assert.equal(await cluster.run('ls', ['/var/lib/oci-artifact-csi/volumes']), '');
  });

  test('without Helm, the command of the README installs the driver, and a loaded artifact is mounted', async () => {
    await cluster.run('oras', ['tag', '--plain-http', `${repository}:1`, version]);
    await applyManifests(install);
    // The disk of the machine is not the test's.
    const marks = ['CACHE_HIGH', 'CACHE_LOW', 'DISK_MAX'].map(name => `OCI_ARTIFACT_${name}=100`);
    await cluster.kubectl('-n', driverNamespace, 'set', 'env', driverSet, ...marks);
    await cluster.kubectl('-n', driverNamespace, 'rollout', 'status', driverSet, '--timeout=90s');

    const load = ['exec', '-i', '-n', driverNamespace, driverSet, '--', 'oci-artifact-csi', 'load', '-'];
    await cluster.run('oras', ['copy', '--from-plain-http', '--to-oci-layout', tiny, '/tmp/layout:1']);
    await cluster.run('sh', ['-euc', `tar -C /tmp/layout -c . | kubectl ${[...load, loaded].join(' ')}`]);
    await cluster.apply(pod('loaded', { volumes: { models: artifact(loaded) } }));
    await cluster.ready('loaded');
    assert.equal(await cluster.exec('loaded', 'cat', '/models/hello.txt'), 'hello');
    await cluster.event('loaded', /models\/tiny:1/);
  });

  test('newer plain manifests are applied over older ones, and nothing ends', async (context: TestContext) => {
    await pushNextDriver(cluster);
    const newer = install.replace('| kubectl apply', `| sed 's|${version}|${nextVersion}|' | kubectl apply`);
    await assertUnnoticed(context, cluster, loaded, () => applyManifests(newer));
    assert.equal(await driverImage(cluster), `${repository}:${nextVersion}`);
    assert.equal(await cluster.exec('loaded', 'cat', '/models/hello.txt'), 'hello');
    const restarts = 'jsonpath={.status.containerStatuses[0].restartCount}';
    assert.equal(await cluster.kubectl('get', 'pod', 'loaded', `--output=${restarts}`), '0');
    await cluster.remove('loaded');
  });
});
