import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { version } from '../../src/util/version.ts';
import { driverName, driverNamespace, driverSet, repository } from '../support/cluster/driver.ts';
import { waitFor } from '../support/cluster/kubectl.ts';
import { artifact, claim, namespace, pod, podSpec, type Volume } from '../support/cluster/objects.ts';
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
const accessPolicy = {
  default: 'allow',
  rules: [
    {
      name: 'no trials',
      namespaceSelector: { matchLabels: { stage: 'trial' } },
      references: [`${hosts.open}/models/**`],
      action: 'deny',
    },
  ],
};

describe('options of the chart', clusterNeeds, () => {
  const cluster = shareCluster(async ({ installDriver, push }) => {
    await push(tiny, { 'hello.txt': 'hello' });
    await push(listed, { 'hello.txt': 'listed' });
    await push(foreign, { 'hello.txt': 'foreign' });
    await installDriver({
      admission: { setReadOnly: true, validate: true, deniedReferences: ['/denied/'] },
      prefetch: { inline: { artifacts } },
      accessPolicy: { inline: accessPolicy },
      uninstallGuard: true,
    });
  });

  const applyManifests = (command: string): Promise<string> =>
    cluster.run('sh', ['-euc', `cd ${project}; REGISTRY=${hosts.open}; ${command}`]);

  test('admission sets readOnly of a volume', async () => {
    const csi = { driver: driverName, volumeAttributes: { reference: tiny } };
    await waitFor('the policy is in force', async () => {
      await cluster.apply(pod('writable', { volumes: { models: { csi } } }));
      const set = await cluster.kubectl(
        'get',
        'pod',
        'writable',
        '-o=jsonpath={.spec.volumes[0].csi.readOnly}',
      );
      if (set !== 'true') await cluster.remove('writable');
      return set === 'true';
    });
    await cluster.ready('writable');
    assert.equal(await cluster.exec('writable', 'cat', '/models/hello.txt'), 'hello');
  });

  test('admission refuses at once what the driver would refuse later', async () => {
    const refused = (volume: Volume): object => pod('refused', { volumes: { models: volume } });
    const csi = { driver: driverName, readOnly: true, volumeAttributes: { refernce: tiny } };
    const moody = artifact(tiny, { pullPolicy: 'Sometimes' });
    const labels = { app: 'refused' };
    const template = { metadata: { labels }, spec: podSpec({ volumes: { models: moody } }) };
    const deployment = {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'refused', namespace: 'default' },
      spec: { selector: { matchLabels: labels }, template },
    };
    const rows: readonly (readonly [object, RegExp])[] = [
      [refused({ csi }), /no volume attribute refernce|has no reference/],
      [refused(moody), /pullPolicy .* must be Always/],
      [refused(artifact(`${hosts.open}/denied/model:1`)), /denied in this cluster/],
      [deployment, /pullPolicy .* must be Always/],
      [{ ...claim('refused', `${hosts.open}/denied/model:1`)[0] }, /denied in this cluster/],
    ];
    for (const [object, message] of rows) await assert.rejects(cluster.apply(object), message);
  });

  test('the owner of a pod sees events of the driver', async () => {
    await cluster.push(`${hosts.open}/models/new:1`, { 'hello.txt': 'new' });
    await cluster.apply(pod('watched', { volumes: { models: artifact(`${hosts.open}/models/new:1`) } }));
    await cluster.ready('watched');
    await cluster.event('watched', /models\/new:1/);
    const selector = '--field-selector=involvedObject.name=watched';
    const sources = ['get', 'events', selector, '-o=jsonpath={.items[*].reason}'];
    assert.match(await cluster.kubectl(...sources), /Pull/);
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
