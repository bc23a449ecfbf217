import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { waitUntil } from '../support/node/child.ts';
import {
  publishRequest,
  startDaemon,
  type TestDaemon,
  type TestNode,
  testNode,
} from '../support/node/daemon.ts';
import { openKubeApiServer } from '../support/node/kube-api.ts';
import { ready } from '../support/node/readiness.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../support/registry/faulty-registry.ts';

/** A node whose administrator has mirrors in both styles; its registries are names that only they lead to. */
const title = 'org.opencontainers.image.title';
let peer: FaultyRegistry;
let home: FaultyRegistry;
let node: TestNode;
let daemon: TestDaemon;
let hostsDir: string;

before(async () => {
  peer = await openFaultyRegistry();
  home = await openFaultyRegistry();
  node = await testNode();
  hostsDir = join(node.path, 'hosts');
  await mkdir(join(hostsDir, 'models.test'), { recursive: true });
  await writeHosts();
  const waiting = join(hostsDir, 'waiting.test');
  await mkdir(waiting);
  await writeFile(
    join(waiting, 'hosts.toml'),
    `server = "http://${home.host}"\n[host."http://${peer.host}"]\ncapabilities = ["pull"]\nwait = "1h"\n`,
  );
  await writeFile(
    node.registriesConf,
    `[aliases]
"tiny" = "docker.io/tiny"

[[registry]]
prefix = "docker.io"
location = "${home.host}/hub"
insecure = true
[[registry.mirror]]
location = "${peer.host}/cache"
insecure = true
`,
  );
});
beforeEach(async () => {
  peer.reset();
  home.reset();
  daemon = await startDaemon(node, { flags: { '--hosts-dir': hostsDir } }); // it knows nothing of the peer yet
});
afterEach(() => daemon?.[Symbol.asyncDispose]());
after(async () => {
  await node?.[Symbol.asyncDispose]();
  await peer?.[Symbol.asyncDispose]();
  await home?.[Symbol.asyncDispose]();
});

function writeHosts(more = ''): Promise<void> {
  const text = `server = "http://${home.host}"\n[host."http://${peer.host}"]\ncapabilities = ["pull"]\n${more}`;
  return writeFile(join(hostsDir, 'models.test', 'hosts.toml'), text);
}

/** Pushes an artifact of one file to both, each under its own path, and returns what is in it. */
async function push(paths: { readonly peer: string; readonly home: string }, bytes: Buffer): Promise<void> {
  const layers = [{ bytes, annotations: { [title]: 'model.bin' } }];
  await peer.push(paths.peer, 'v1', layers);
  await home.push(paths.home, 'v1', layers);
}

async function mounted(reference: string): Promise<Buffer> {
  const request = await publishRequest(node, { reference });
  await daemon.csi.NodePublishVolume(request);
  return await readFile(join(request.target_path, 'model.bin'));
}

const asked = ({ asked: all }: FaultyRegistry) =>
  all.map(({ method, path, headers }) =>
    [method, path.replace(/sha256:\w+/, 'D'), headers.range].join(' ').trim(),
  );

test('a short name on docker.io is requested below library/, from the mirror first', async () => {
  const bytes = randomBytes(1000);
  await push({ peer: 'cache/library/tiny', home: 'hub/library/tiny' }, bytes);
  assert.deepEqual(await mounted('tiny:v1'), bytes);
  assert.deepEqual(asked(home), []);
  assert.equal(asked(peer)[0], 'HEAD /v2/cache/library/tiny/manifests/v1?ns=docker.io');
});

test('a pull-only peer is not asked for tags, and gets the name of the registry', async () => {
  const bytes = randomBytes(1000);
  await push({ peer: 'team/a', home: 'team/a' }, bytes);
  assert.deepEqual(await mounted('models.test/team/a:v1'), bytes);
  assert.deepEqual(asked(home), ['HEAD /v2/team/a/manifests/v1?ns=models.test']);
  assert.deepEqual(asked(peer), [
    'GET /v2/team/a/manifests/D?ns=models.test',
    'GET /v2/team/a/blobs/D?ns=models.test',
  ]);
});

test('the server in hosts.toml counts as the registry: pods that it admitted are admitted without it', async () => {
  await push({ peer: 'team/kept', home: 'team/kept' }, randomBytes(1000));
  await mounted('models.test/team/kept:v1');
  const before = [asked(home), asked(peer)];
  home.fault(() => ({ kind: 'status', status: 503 }));
  await mounted('models.test/team/kept:v1');
  assert.deepEqual([asked(home), asked(peer)], before);
});

for (const [what, size] of [
  ['small', 100_000],
  ['large', 6 * 1024 * 1024],
] as const) {
  test(`a peer that lies about a ${what} blob does not affect the mount, which has the registry’s bytes`, async () => {
    const bytes = randomBytes(size);
    await push({ peer: `team/lie-${what}`, home: `team/lie-${what}` }, bytes);
    peer.fault(({ path }) => (path.includes('/blobs/') ? { kind: 'wrong-bytes' } : undefined));
    assert.deepEqual(await mounted(`models.test/team/lie-${what}:v1`), bytes);
    assert.equal(asked(home).at(-1), `GET /v2/team/lie-${what}/blobs/D?ns=models.test`);
  });
}

test('a pull continues elsewhere if a peer dies during a large blob, and logs it', async () => {
  const bytes = randomBytes(6 * 1024 * 1024);
  await push({ peer: 'team/dying', home: 'team/dying' }, bytes);
  peer.fault(({ path, nth }) =>
    path.includes('/blobs/')
      ? nth === 1
        ? { kind: 'cut', after: 2_000_000 }
        : { kind: 'raw', text: '' }
      : undefined,
  );
  assert.deepEqual(await mounted('models.test/team/dying:v1'), bytes);
  assert.equal(asked(home).at(-1), 'GET /v2/team/dying/blobs/D?ns=models.test bytes=2000000-');
  assert.match(daemon.output(), /"mirror":"127\.0\.0\.1:\d+".*"mirror skipped for a while"/);
});

test('a pull waits for a mirror with a wait, says so, and goes on when the mirror has it', async () => {
  const bytes = randomBytes(1000);
  const layers = [{ bytes, annotations: { [title]: 'model.bin' } }];
  await home.push('team/awaited', 'v1', layers);
  const request = await publishRequest(node, { reference: 'waiting.test/team/awaited:v1' });
  const waits = `mirror ${peer.host} has it not yet; waiting.test is asked from \\S+Z on`;
  await assert.rejects(
    daemon.csi.NodePublishVolume(request, { deadline: Date.now() + 3_000 }),
    new RegExp(`ABORTED: .* is still being pulled: ${waits}; pulled 0 B of 1\\.0 KiB`),
  );
  const { problems } = await daemon.artifacts.GetStatus({});
  assert.match(
    problems.join('\n'),
    new RegExp(`waiting.test is not asked before \\S+Z for blobs of ${peer.host}/`),
  );
  const { pulls } = await daemon.artifacts.ListPulls({});
  assert.match(pulls[0]?.progress?.waits ?? '', new RegExp(`^${waits}$`));
  await peer.push('team/awaited', 'v1', layers);
  await daemon.csi.NodePublishVolume(request);
  assert.deepEqual(await readFile(join(request.target_path, 'model.bin')), bytes);
  assert.equal(asked(home).filter(line => line.includes('/blobs/')).length, 0);
});

test('a broken hosts.toml is reported by /readyz and a metric, and a repaired one is used', async () => {
  const page = async (path: string) => await (await fetch(`${daemon.http}${path}`)).text();
  await writeHosts('skip_verify = 1');
  await waitUntil(
    daemon,
    async () => /hosts\.toml:4: .*skip_verify must be/.test(await page('/readyz')),
    'told',
  );
  assert.equal((await fetch(`${daemon.http}/readyz`)).status, 200);
  assert.match(await page('/metrics'), /^oci_artifact_csi_configuration_errors 1$/m);
  const bytes = randomBytes(1000);
  await push({ peer: 'team/b', home: 'team/b' }, bytes);
  assert.deepEqual(await mounted('models.test/team/b:v1'), bytes);
  await writeHosts('skip_verify = true');
  await waitUntil(daemon, async () => ready.test(await page('/readyz')), 'right again');
  // One scrape is kept for a second.
  const none = /^oci_artifact_csi_configuration_errors 0$/m;
  await waitUntil(daemon, async () => none.test(await page('/metrics')), 'counted');
});

test('a mirror by a label of the node is asked where the node has it, and is skipped elsewhere', async () => {
  await daemon[Symbol.asyncDispose]();
  await using api = await openKubeApiServer();
  await mkdir(join(hostsDir, 'zoned.test'), { recursive: true });
  const placed = peer.host.replace('127.0.0.1', '127.0.0.${example.com/rack}');
  await writeFile(
    join(hostsDir, 'zoned.test', 'hosts.toml'),
    `server = "http://${home.host}"\n[host."http://${placed}"]\ncapabilities = ["pull"]\n`,
  );
  const skipped = /^the mirror http:\/\/127\.0\.0\.\$\{example\.com\/rack\}:\d+\/v2 of \S+ is skipped: /;
  const pullAs = async (
    name: string,
    flags: Readonly<Record<string, string>>,
  ): Promise<readonly string[]> => {
    const bytes = randomBytes(1000);
    await push({ peer: name, home: name }, bytes);
    daemon = await startDaemon(node, {
      flags: { '--hosts-dir': hostsDir, ...flags },
      env: { KUBECONFIG: api.kubeconfig },
    });
    assert.deepEqual(await mounted(`zoned.test/${name}:v1`), bytes);
    const { problems } = await daemon.artifacts.GetStatus({});
    await daemon[Symbol.asyncDispose]();
    return problems.filter(line => skipped.test(line)).map(line => line.replace(skipped, ''));
  };
  const servedBy = (name: string): readonly string[] =>
    [peer, home].map(
      ({ asked: all }) => `${all.filter(({ path }) => path.includes(`/${name}/blobs/`)).length}`,
    );
  const path = '/api/v1/nodes/test-node';
  api.object(path, { metadata: { labels: { 'example.com/rack': '1' } } });
  assert.deepEqual(await pullAs('here', { '--node-labels': 'api' }), []);
  assert.deepEqual(servedBy('here'), ['1', '0']);
  api.object(path, { metadata: { labels: {} } });
  assert.deepEqual(await pullAs('none', { '--node-labels': 'api' }), [
    'this node has no label example.com/rack',
  ]);
  assert.deepEqual(servedBy('none'), ['0', '1']);
  api.answer(path, { kind: 'status', code: 403, message: 'no' });
  assert.match(
    (await pullAs('denied', { '--node-labels': 'api' }))[0] ?? '',
    /; this daemon may not get nodes; bind /,
  );
  assert.deepEqual(servedBy('denied'), ['0', '1']);
  assert.deepEqual(await pullAs('given', { '--node-labels': 'example.com/rack=1' }), []);
  assert.deepEqual(servedBy('given'), ['1', '0']);
  assert.match((await pullAs('off', {}))[0] ?? '', /example\.com\/rack; set --node-labels$/);
});
