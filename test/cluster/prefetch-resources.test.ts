import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { askAsDaemon, leases, nodeLease } from '../support/cluster/daemon-request.ts';
import { driverNamespace, driverSet } from '../support/cluster/driver.ts';
import { waitFor } from '../support/cluster/kubectl.ts';
import { artifact, namespace, pod, secret } from '../support/cluster/objects.ts';
import { alice, hosts } from '../support/cluster/registries.ts';
import { clusterNeeds, shareCluster } from '../support/cluster/shared.ts';

const apiVersion = 'oci-artifact.csi.internal/v1alpha1';
const tiny = `${hosts.open}/models/tiny:1`;
const closed = `${hosts.private}/private/model:1`;
const account = 'oci-artifact-csi';
const values = {
  podPullSecrets: false,
  prefetchResources: true,
  prefetchLabels: true,
  prefetchSecrets: { default: ['registry'] },
};

const prefetch = (name: string, spec: object, of?: string): object => ({
  apiVersion,
  kind: of === undefined ? 'ClusterArtifactPrefetch' : 'ArtifactPrefetch',
  metadata: { name, ...(of === undefined ? {} : { namespace: of }) },
  spec,
});

describe('prefetches of the Kubernetes API', clusterNeeds, () => {
  const cluster = shareCluster(async ({ installDriver, push, apply }) => {
    await push(tiny, { 'hello.txt': 'hello' });
    await push(closed, { 'secret.txt': 'secret' });
    await installDriver(values);
    const auths = { [hosts.private]: { username: alice.username, password: alice.password } };
    const config = { '.dockerconfigjson': JSON.stringify({ auths }) };
    const pullSecret = secret('registry', config, 'kubernetes.io/dockerconfigjson');
    await apply(namespace('other'), pullSecret);
    await apply({ ...pullSecret, metadata: { name: 'registry', namespace: 'other' } });
  });

  const read = (...words: readonly string[]): Promise<string> => cluster.kubectl('get', ...words);
  const nodeName = (): Promise<string> => read('node', '-o=jsonpath={.items[0].metadata.name}');
  const conditions = async (...object: readonly string[]): Promise<Record<string, string>> => {
    const [list, message] = ['{.status.conditions[*].type}', '{.status.conditions[*].status}'];
    const text = await read(...object, `-o=jsonpath=${list}|${message}`);
    const [types = '', states = ''] = text.split('|');
    const all = states.split(' ');
    return Object.fromEntries(types.split(' ').map((type, index) => [type, all[index] ?? '']));
  };
  const holds = async (condition: string, ...object: readonly string[]): Promise<boolean> =>
    (await conditions(...object))[condition] === 'True';

  const merge = 'application/merge-patch+json';

  test('the API refuses what no node could follow', async () => {
    const artifacts = [{ reference: tiny }];
    const rows: readonly (readonly [object, RegExp])[] = [
      [{ artifacts: [] }, /artifacts.*at least 1/s],
      [{ artifacts: [{ refernce: tiny }] }, /reference/],
      [{ artifacts, maxParallelNodes: 0 }, /maxParallelNodes/],
      [{ artifacts, maxParallelNodes: '101%' }, /maxParallelNodes/],
      [{ artifacts, interval: '1y' }, /interval/],
      [{ artifacts, nodeSelector: { matchExpressions: [{ key: 'a', operator: 'In' }] } }, /need values/],
      [{ artifacts, nodeSelector: { matchLabels: { ['a'.repeat(318)]: '' } } }, /317 characters/],
      [{ artifacts, deadline: 'tomorrow' }, /deadline/],
      [{ artifacts, pullSecrets: [{ name: 'a' }] }, /namespace/],
    ];
    for (const [spec, message] of rows)
      await assert.rejects(cluster.apply(prefetch('refused', spec)), { message });
    await assert.rejects(cluster.apply(prefetch('a'.repeat(64), { artifacts })), /63 characters/);
  });

  test('a prefetch becomes ready, and a pod lands where its label is and starts from the cache', async () => {
    const nodeSelector = { matchLabels: { 'kubernetes.io/os': 'linux' } };
    await cluster.apply(
      prefetch('tiny', {
        artifacts: [{ reference: tiny }],
        interval: '1m',
        nodeSelector,
        maxParallelNodes: '50%',
      }),
    );
    const object = ['clusterartifactprefetch', 'tiny'];
    await waitFor('it is ready', () => holds('Ready', ...object), 180_000);
    assert.match(await read(...object), /NODES\s+READY\s+PULLING\s+FAILED\s+AGE\s+tiny\s+1\s+1\s+0\s+0\s/);
    assert.match(await read('nodeartifacts'), /PREFETCHES\s+READY\s+AGE\s+\S+\s+1\s+1\s/);
    const node = await nodeName();
    const label = 'oci-artifact.csi.internal/tiny';
    const selected = ['node', `--selector=${label}=ready`, '--output=name'];
    await waitFor('the node is labelled', async () => (await read(...selected)).trim() === `node/${node}`);

    const nodeSelectorTerms = [{ matchExpressions: [{ key: label, operator: 'Exists' }] }];
    const affinity = {
      nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } },
    };
    await cluster.apply(
      pod('lands', { volumes: { models: artifact(tiny, { pullPolicy: 'Never' }) }, spec: { affinity } }),
    );
    await cluster.ready('lands');
    assert.equal(await cluster.exec('lands', 'cat', '/models/hello.txt'), 'hello');
    await cluster.remove('lands');

    const owner = '-o=jsonpath={.metadata.ownerReferences[0].kind}/{.metadata.ownerReferences[0].name}';
    assert.equal(await read('nodeartifacts', node, owner), `Node/${node}`);
    const names = ['lease', '-n', driverNamespace, '--output=name'];
    await waitFor(
      'the slot is given back',
      async () => !/csi-prefetch-[0-9a-f-]{36}-0/.test(await read(...names)),
    );
    assert.match(await read(...names), /oci-artifact-csi-prefetch/);

    await cluster.kubectl('delete', ...object);
    await waitFor('the label goes', async () => (await read(...selected)).trim() === '');
  });

  test('a pull secret opens a private registry where the chart lists it, and the status says where not', async () => {
    const spec = { artifacts: [{ reference: closed }], pullSecrets: [{ name: 'registry' }], interval: '1m' };
    await cluster.apply(prefetch('model', spec, 'default'), prefetch('model', spec, 'other'));
    const of = (where: string): string[] => ['artifactprefetch', 'model', '-n', where];
    await waitFor('it is ready', () => holds('Ready', ...of('default')), 180_000);
    await waitFor('it fails', () => holds('Failed', ...of('other')), 180_000);
    const message = await read(...of('other'), '-o=jsonpath={.status.failed[0].message}');
    assert.match(
      message,
      /^\S+: the pull secret other\/registry cannot be read; add it to prefetchSecrets of the chart: /,
    );
    const label = '-o=jsonpath={.items[0].metadata.labels}';
    await waitFor('the node is labelled', async () =>
      (await read('node', label)).includes('"default.oci-artifact.csi.internal/model":"ready"'),
    );
    assert.doesNotMatch(await read('node', label), /other\.oci-artifact/);
    assert.doesNotMatch(await cluster.driverLog(), /S3CRET/);
  });

  test('a namespace with very many prefetches does not hide those of others', async () => {
    await cluster.apply(namespace('crowd'), namespace('late'));
    const nowhere = { matchLabels: { 'kubernetes.io/os': 'none' } };
    const crowd = Array.from({ length: 300 }, (_, nth) =>
      prefetch(`nth-${nth}`, { artifacts: [{ reference: tiny }], nodeSelector: nowhere }, 'crowd'),
    );
    await cluster.apply(...crowd);
    await cluster.apply(prefetch('one', { artifacts: [{ reference: tiny }], interval: '1m' }, 'late'));
    await cluster.kubectl('-n', driverNamespace, 'rollout', 'restart', driverSet);
    await cluster.kubectl('-n', driverNamespace, 'rollout', 'status', driverSet, '--timeout=90s');
    const object = ['artifactprefetch', 'one', '-n=late'];
    await waitFor('it is ready', () => holds('Ready', ...object), 180_000);
    const said = await cluster.kubectl('-n', driverNamespace, 'logs', driverSet, '--all-containers');
    assert.match(said, /there are too many artifactprefetches of crowd, /);
    await cluster.kubectl('delete', 'namespace', 'crowd', 'late');
  });

  test('a daemon can change the object and the labels of its own node, and nothing else', async () => {
    const node = await nodeName();
    const report = (name: string): object => ({
      apiVersion,
      kind: 'NodeArtifacts',
      metadata: { name },
      status: {},
    });
    const apply = (name: string): Promise<string> =>
      askAsDaemon(cluster, {
        method: 'PATCH',
        path: `/apis/${apiVersion}/nodeartifacts/${name}?fieldManager=test&force=true`,
        body: report(name),
        type: 'application/apply-patch+yaml',
      });
    assert.match(await apply('foreign'), /own node only, and the token is of/);
    assert.doesNotMatch(await apply(node), /Failure/);

    await cluster.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'foreign' } });
    const change = (name: string, metadata: object, more: object = {}): Promise<string> =>
      askAsDaemon(cluster, {
        method: 'PATCH',
        path: `/api/v1/nodes/${name}`,
        body: { metadata, ...more },
        type: merge,
      });
    const ready = { labels: { 'oci-artifact.csi.internal/x': 'ready' } };
    assert.match(await change('foreign', ready), /own node only/);
    assert.match(
      await change(node, { labels: { 'kubernetes.io/os': 'windows' } }),
      /only those of prefetches/,
    );
    assert.match(await change(node, { labels: { 'kubernetes.io/os': null } }), /only those of prefetches/);
    assert.match(
      await change(node, { labels: { 'x.example/oci-artifact.csi.internal': 'ready' } }),
      /prefetches/,
    );
    assert.match(await change(node, { annotations: { a: 'b' } }), /may change only labels/);
    assert.match(await change(node, {}, { spec: { unschedulable: true } }), /may change only labels/);
    assert.doesNotMatch(await change(node, ready), /Failure/);

    const own = 'oci-artifact-csi-test';
    const create = (name: string, holder: string): Promise<string> =>
      askAsDaemon(cluster, { method: 'POST', path: leases, body: nodeLease(name, holder, 60) });
    const remove = (name: string): Promise<string> =>
      askAsDaemon(cluster, { method: 'DELETE', path: `${leases}/${name}`, body: {} });
    await cluster.apply(nodeLease('kube-scheduler', 'another', 60));
    assert.match(await remove('kube-scheduler'), /only its own/);
    assert.match(await create('taken', node), /only its own/);
    assert.match(await create(own, 'another'), /for its own node only/);
    assert.doesNotMatch(await create(own, node), /Failure/);
    assert.doesNotMatch(await remove(own), /Failure/);
    await cluster.kubectl('delete', 'node', 'foreign');
  });

  test('the driver may ask the API for what it needs to follow them, and for nothing else', async () => {
    const as = `--as=system:serviceaccount:${driverNamespace}:${account}`;
    const rulesOf = async (where: string): Promise<readonly string[]> => {
      const list = await cluster.kubectl('auth', 'can-i', '--list', '--no-headers', '-n', where, as);
      const rules = list.split('\n').map(line => line.trim().split(/ {2,}/));
      // Every account may review itself, read trust bundles, and has the paths of discovery.
      const own = rules.filter(
        ([resource = '']) => /^[a-z0-9./-]+$/.test(resource) && !/review|trustbundle/.test(resource),
      );
      return own.map(row => `${row[0]} ${row.at(-1)}`).toSorted();
    };
    const everywhere = [
      'artifactprefetches.oci-artifact.csi.internal [list watch]',
      'artifactprefetches.oci-artifact.csi.internal/status [patch]',
      'clusterartifactprefetches.oci-artifact.csi.internal [list watch]',
      'clusterartifactprefetches.oci-artifact.csi.internal/status [patch]',
      'events [create patch]',
      'nodeartifacts.oci-artifact.csi.internal [get list create patch]',
      'nodes [get patch]',
    ];
    assert.deepEqual(await rulesOf('other'), everywhere);
    assert.deepEqual(await rulesOf('default'), [...everywhere, 'secrets [get]'].toSorted());
    const ofLeases = 'leases.coordination.k8s.io [get create update delete]';
    assert.deepEqual(await rulesOf(driverNamespace), [...everywhere, ofLeases].toSorted());
  });

  test('without a right status names it and pods start; with it prefetches go on', async () => {
    type Role = { readonly rules: readonly { readonly resources: readonly string[] }[] };
    const role = ['clusterrole', account];
    const { rules } = JSON.parse(await read(...role, '--output=json')) as Role;
    const reduced = rules.map(rule =>
      rule.resources.includes('nodes') ? { ...rule, verbs: ['get'] } : rule,
    );
    const patch = ['--type=merge', `--patch=${JSON.stringify({ rules: reduced })}`];
    await cluster.kubectl('patch', ...role, ...patch);
    const says = (what: string, rule: string): Promise<void> => {
      const missing = `prefetches of the Kubernetes API: this daemon may not ${what}; bind its service account to a role with the rule ${rule}`;
      const isSaid = async (): Promise<boolean> => (await cluster.command('status')).includes(missing);
      return waitFor(`status says: ${missing}`, isSaid, 180_000);
    };
    const later = ['clusterartifactprefetch', 'later'];
    await cluster.apply(prefetch('later', { artifacts: [{ reference: tiny }], interval: '1m' }));
    await says('patch nodes', '{apiGroups: [""], resources: [nodes], verbs: [patch]}');
    await waitFor('it is ready without its label', () => holds('Ready', ...later), 180_000);
    const selected = ['node', '--selector=oci-artifact.csi.internal/later=ready', '--output=name'];
    assert.equal(await read(...selected), '');

    await cluster.kubectl('delete', ...role);
    // A watch that was allowed goes on.
    await cluster.kubectl('-n', driverNamespace, 'rollout', 'restart', driverSet);
    await cluster.kubectl('-n', driverNamespace, 'rollout', 'status', driverSet, '--timeout=90s');
    const group = 'oci-artifact.csi.internal';
    const [resource, verbs] = ['clusterartifactprefetches', '[list]'];
    await says(`list ${resource}`, `{apiGroups: ["${group}"], resources: [${resource}], verbs: ${verbs}}`);
    const fresh = await cluster.push(`${hosts.open}/models/fresh:1`, { 'hello.txt': 'fresh' });
    await cluster.apply(pod('starts', { volumes: { models: artifact(fresh) } }));
    await cluster.ready('starts');
    assert.equal(await cluster.exec('starts', 'cat', '/models/hello.txt'), 'fresh');
    await cluster.remove('starts');

    await cluster.installDriver(values);
    const isLabelled = async (): Promise<boolean> => (await read(...selected)) !== '';
    await waitFor('the node is labelled', isLabelled, 240_000);
    const isSilent = async (): Promise<boolean> =>
      !(await cluster.command('status')).includes('prefetches of the Kubernetes API');
    await waitFor('status names nothing', isSilent, 240_000);
  });
});
