import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { publishRequest, startDaemon, type TestDaemon, testNode } from '../support/node/daemon.ts';
import { pullSecretObject } from '../support/node/kube-api.ts';
import { openObjectServer, type StoredObject } from '../support/node/object-server.ts';
import { shownOf, verifyVolume } from '../support/node/volume.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import { basic } from '../support/registry/guarded-registry.ts';

const root = '/apis/oci-artifact.csi.internal/v1alpha1';
const nodePath = '/api/v1/nodes/test-node';
const reportPath = `${root}/nodeartifacts/test-node`;
const clusterPath = (name: string): string => `${root}/clusterartifactprefetches/${name}`;
const pathIn = (namespace: string, name: string): string =>
  `${root}/namespaces/${namespace}/artifactprefetches/${name}`;

await using stack = new AsyncDisposableStack();
const registry = stack.use(await openFaultyRegistry());
const closed = stack.use(await openFaultyRegistry({ guard: basic }));
const opened = stack.move();
after(() => opened.disposeAsync());

const layer = { name: 'text', bytes: Buffer.from('wanted before any pod') };
const { reference } = await registry.push('early', 'v1', [layer]);

/** A node with a daemon that follows the prefetches of an API of its own. */
async function openWorld(flags: Readonly<Record<string, string>> = {}) {
  await using world = new AsyncDisposableStack();
  const api = world.use(await openObjectServer());
  const node = world.use(await testNode([registry.host, closed.host]));
  api.put(nodePath, {
    kind: 'Node',
    metadata: { labels: { accelerator: 'a100', 'other.example/x': 'ready' } },
  });
  const start = (): Promise<TestDaemon> =>
    startDaemon(node, {
      flags: { '--prefetch-resources': 'true', '--prefetch-labels': 'true', ...flags },
      env: { KUBECONFIG: api.kubeconfig },
    });
  const held = world.move();
  return { api, node, start, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

/** Waits until a condition holds, however busy the machine is. */
async function until<T>(what: string, find: () => T | undefined | false, seen: () => unknown): Promise<T> {
  for (const end = Date.now() + 120_000; ; await sleep(200)) {
    const found = find();
    if (found !== undefined && found !== false) return found;
    assert.ok(Date.now() < end, `not in time: ${what}: ${JSON.stringify(seen())}`);
  }
}

const conditionOf = (object: StoredObject | undefined, type: string): string | undefined =>
  (object?.['status']?.conditions as { type: string; status: string }[] | undefined)?.find(
    one => one.type === type,
  )?.status;

test('a prefetch that selects the node is ready, labels it, serves pods, and leaves nothing behind', async () => {
  await using world = await openWorld();
  const { api, node } = world;
  const spec = { artifacts: [{ reference }], interval: '1m' };
  const path = clusterPath('early');
  const elsewhere = clusterPath('elsewhere');
  api.put(path, {
    kind: 'ClusterArtifactPrefetch',
    spec: { ...spec, nodeSelector: { matchLabels: { accelerator: 'a100' } } },
  });
  api.put(elsewhere, {
    kind: 'ClusterArtifactPrefetch',
    spec: { ...spec, nodeSelector: { matchLabels: { accelerator: 'none' } } },
  });
  {
    await using daemon = await world.start();
    const seen = (): unknown => [api.get(path), api.get(reportPath), api.asked.slice(-10)];
    await until('it is ready', () => conditionOf(api.get(path), 'Ready') === 'True', seen);
    const status = api.get(path)?.['status'];
    assert.deepEqual(status.nodes, { selected: 1, ready: 1, pulling: 0, waiting: 0, failed: 0 });
    assert.equal(conditionOf(api.get(path), 'Progressing'), 'False');
    await until(
      'the other one has a status',
      () => conditionOf(api.get(elsewhere), 'Ready') === 'False',
      seen,
    );
    assert.equal(api.get(elsewhere)?.['status'].conditions[0].reason, 'NoNodes');
    assert.deepEqual(
      api
        .get(reportPath)
        ?.['status'].prefetches.map(({ name, state }: { name: string; state: string }) => [name, state]),
      [['early', 'Ready']],
    );
    const label = 'oci-artifact.csi.internal/early';
    await until('it is labelled', () => api.get(nodePath)?.metadata.labels?.[label] === 'ready', seen);
    assert.equal(api.get(nodePath)?.metadata.labels?.['other.example/x'], 'ready');

    const { artifacts } = await daemon.artifacts.List({});
    assert.deepEqual(
      artifacts.map(({ pinned }) => pinned),
      [true],
    );
    const request = await publishRequest(node, { reference });
    await daemon.csi.NodePublishVolume(request);
    verifyVolume(request.target_path, shownOf([['text', layer.bytes]]));
    await daemon.csi.NodeUnpublishVolume(request);

    // The changes so far are forgotten, as by a compaction: the prefetch goes while nobody watches.
    api.remove(path);
    api.compact();
    await until('its label goes', () => !(label in (api.get(nodePath)?.metadata.labels ?? {})), seen);
    await until('its row goes', () => api.get(reportPath)?.['status'].prefetches.length === 0, seen);
    const isPinned = async (): Promise<boolean> =>
      (await daemon.artifacts.List({})).artifacts.some(({ pinned }) => pinned);
    for (const end = Date.now() + 30_000; await isPinned(); await sleep(200)) assert.ok(Date.now() < end);
    assert.equal((await daemon.artifacts.Prune({})).freed?.artifacts, 1);
  }
  const times = api.asked.map(({ at }) => at);
  const minutes = ((times.at(-1) ?? 0) - (times[0] ?? 0)) / 60_000;
  const ofElected = /\/status$|nodeartifacts\?|leases\/oci-artifact-csi-prefetch$/;
  const elected = api.asked.filter(({ url }) => ofElected.test(url)).length;
  assert.ok(
    api.asked.length - elected <= 12 * minutes + 9,
    `${api.asked.length} requests in ${minutes} minutes`,
  );
});

test('a prefetch of a namespace gets what a pod of it would get, and says what it lacks', async () => {
  const policy = { default: 'allow', rules: [{ namespaces: ['trial'], references: ['**'], action: 'deny' }] };
  await using world = await openWorld();
  const { api, node } = world;
  const file = join(node.path, 'access.json');
  writeFileSync(file, JSON.stringify(policy));
  const secret = await closed.push('secret/model', 'v1', [layer]);
  const spec = { artifacts: [{ reference: secret.reference }], interval: '1m' };
  const auths = { [closed.host]: { username: basic.username, password: basic.password } };
  for (const namespace of ['shop', 'trial'])
    api.put(`/api/v1/namespaces/${namespace}/secrets/registry`, pullSecretObject(auths) as object);
  api.refuse((method, path) =>
    method === 'GET' && path.includes('/namespaces/other/secrets/') ? 403 : undefined,
  );
  const put = (namespace: string, more: object): string => {
    const path = pathIn(namespace, 'model');
    api.put(path, { kind: 'ArtifactPrefetch', spec: { ...spec, ...more } });
    return path;
  };
  const pullSecrets = [{ name: 'registry' }];
  const paths = {
    'with its pull secret': put('shop', { pullSecrets }),
    'without one': put('plain', {}),
    'that may not be read': put('other', { pullSecrets }),
    'that is refused by the access policy': put('trial', { pullSecrets }),
  };
  await using _daemon = await startDaemon(node, {
    flags: { '--prefetch-resources': 'true', '--access-policy': file },
    env: { KUBECONFIG: api.kubeconfig },
  });
  const seen = (): unknown => [
    Object.values(paths).map(path => api.get(path)?.['status'] as unknown),
    api.asked.slice(-10),
  ];
  const settled = (path: string): string | undefined => {
    const object = api.get(path);
    if (conditionOf(object, 'Ready') === 'True') return 'ready';
    return conditionOf(object, 'Failed') === 'True'
      ? (object?.['status'].failed[0].message as string)
      : undefined;
  };
  const outcome = (what: keyof typeof paths): Promise<string> =>
    until(what, () => settled(paths[what]), seen);
  assert.equal(await outcome('with its pull secret'), 'ready');
  // It is cached now, and still nobody else's.
  assert.match(await outcome('without one'), /needs a credential|is refused/);
  assert.match(
    await outcome('that may not be read'),
    /^\S+: the pull secret other\/registry cannot be read; add it to prefetchSecrets of the chart: .*verbs: \[get\]/,
  );
  assert.match(
    await outcome('that is refused by the access policy'),
    /namespace "trial" by the access policy/,
  );
  assert.deepEqual(api.get(nodePath)?.metadata.labels, { accelerator: 'a100', 'other.example/x': 'ready' });
});

test('of nodes that share a prefetch, as many pull at once as it says', async () => {
  await using world = await openWorld();
  const { api } = world;
  const path = clusterPath('paced');
  const spec = { artifacts: [{ reference }], interval: '1m', maxParallelNodes: 1 };
  const { uid } = api.put(path, { kind: 'ClusterArtifactPrefetch', spec }).metadata;
  const leasePath = `/apis/coordination.k8s.io/v1/namespaces/default/leases/oci-artifact-csi-prefetch-${uid}-0`;
  const foreign = (seconds: number): object => ({
    kind: 'Lease',
    spec: { holderIdentity: 'another-node', leaseDurationSeconds: seconds },
  });
  api.put(leasePath, foreign(3600));
  await using daemon = await world.start();
  const seen = (): unknown => [api.get(path), api.get(leasePath), api.asked.slice(-10)];
  await until('it asked for a slot', () => api.asked.some(({ url }) => url === leasePath), seen);
  await until('it waits', () => api.get(path)?.['status']?.nodes.waiting === 1, seen);
  assert.equal((await daemon.artifacts.List({})).artifacts.length, 0);
  api.remove(leasePath);
  await until('it took the slot', () => api.get(leasePath)?.['spec'].holderIdentity === 'test-node', seen);
  await until('it is ready', () => conditionOf(api.get(path), 'Ready') === 'True', seen);
  await until('it gave the slot back', () => api.get(leasePath) === undefined, seen);
});

test('a namespace with very many prefetches, or with one that changes all the time, hides those of no other', async () => {
  await using world = await openWorld();
  const { api } = world;
  const spec = { artifacts: [{ reference }], interval: '1m' };
  const put = (namespace: string, name: string, object: object = { spec }): string => {
    const path = pathIn(namespace, name);
    api.put(path, { kind: 'ArtifactPrefetch', ...object });
    return path;
  };
  for (let nth = 0; nth < 3_000; nth++) put('evil', `nth-${nth}`, {});
  put('busy', 'large');
  const first = put('shop', 'first');
  await using daemon = await world.start();
  const seen = (): unknown => api.asked.slice(-10);
  const isReady = (path: string) => () => conditionOf(api.get(path), 'Ready') === 'True';
  await until('that of another namespace is ready', isReady(first), seen);
  const problems = (await daemon.artifacts.GetStatus({})).problems.join('\n');
  assert.match(problems, /there are too many artifactprefetches of evil, /);

  const note = 'x'.repeat(1_500_000);
  const isLeftOut = () => {
    put('busy', 'large', { spec, metadata: { annotations: { note, at: `${Date.now()}` } } });
    return api.asked.some(({ url }) => /[?&]watch=true/.test(url) && url.includes('namespace%21%3Dbusy'));
  };
  await until('the busy one is left out', isLeftOut, seen);
  const second = put('shop', 'second');
  await until('another one is ready', isReady(second), seen);
});

test('an API that refuses everything costs no volume, and says which rule is missing', async () => {
  await using world = await openWorld();
  const { api, node } = world;
  api.refuse(() => 403);
  await using daemon = await world.start();
  const request = await publishRequest(node, { reference });
  await daemon.csi.NodePublishVolume(request);
  await daemon.csi.NodeUnpublishVolume(request);
  const problems = async (): Promise<string> => (await daemon.artifacts.GetStatus({})).problems.join('\n');
  for (const end = Date.now() + 60_000; !/verbs: \[list\]/.test(await problems()); await sleep(200))
    assert.ok(Date.now() < end, await problems());
  assert.match(
    await problems(),
    /prefetches of the Kubernetes API: this daemon may not list .*artifactprefetches;/,
  );
  const ready = await fetch(`${daemon.http}/readyz`);
  assert.equal(ready.status, 200);
});
