import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ociManifest } from '../../src/oci/manifest.ts';
import { waitUntil } from '../support/node/child.ts';
import {
  publishRequest,
  startDaemon,
  type TestDaemon,
  type TestNode,
  testNode,
} from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { layoutOf, loadTar } from '../support/oci/layout.ts';
import { sha256 } from '../support/oci/tar.ts';
import { ownForEach } from '../support/os/owned.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import { basic } from '../support/registry/guarded-registry.ts';

/** Being cached grants no access: which pods may have a cached artifact, and what may be in it. */

const own = ownForEach();

const closed = async (): Promise<FaultyRegistry> => own(await openFaultyRegistry({ guard: basic }));
const open = async (): Promise<FaultyRegistry> => own(await openFaultyRegistry());

async function start(
  registries: readonly FaultyRegistry[],
  flags: Record<string, string> = {},
): Promise<TestDaemon> {
  const node = own(await testNode(registries.map(({ host }) => host)));
  return own(await startDaemon(node, { flags }));
}

/** Kills the daemon, and starts another on the same node. */
async function restart(daemon: TestDaemon): Promise<TestDaemon> {
  await daemon[Symbol.asyncDispose]();
  return own(await startDaemon(daemon.node));
}

const alice = { username: 'alice', password: 'pass:wörd' };
const mallory = { username: 'mallory', password: 'guess' };

type Secrets = Readonly<Record<string, string>>;
const publish = async (
  daemon: TestDaemon,
  reference: string,
  secrets: Secrets = {},
  attributes: Secrets = {},
  waitMs = 60_000,
): Promise<string> => {
  const request = await publishRequest(
    daemon.node,
    { reference, pullPolicy: 'IfNotPresent', ...attributes },
    secrets,
  );
  await daemon.csi.NodePublishVolume(request, { deadline: Date.now() + waitMs });
  return request.target_path;
};

const weights = { name: 'weights', bytes: Buffer.from('the private weights') };
const isDown = (registry: FaultyRegistry): void => registry.fault(() => ({ kind: 'status', status: 503 }));

test('a pod without access does not get what another pod pulled, with the registry up or down', async () => {
  const registry = await closed();
  const { reference } = await registry.push('team/model', 'v1', [weights]);
  const daemon = await start([registry]);
  await publish(daemon, reference, alice);
  for (const secrets of [{}, mallory]) {
    await assert.rejects(publish(daemon, reference, secrets), /UNAUTHENTICATED|PERMISSION_DENIED/);
    await assert.rejects(publish(daemon, reference, secrets, { pullPolicy: 'Never' }), /NOT_FOUND/);
  }
  isDown(registry);
  await assert.rejects(publish(daemon, reference, {}, {}, 5_000), /UNAVAILABLE|ABORTED/);
});

test('a login that names no host is sent to the registry of its name, and to none of several', async () => {
  const [first, second] = [await closed(), await closed()];
  await second.push('team/model', 'v1', [weights]);
  const startWith = async (search: readonly FaultyRegistry[]): Promise<TestDaemon> => {
    const node = own(await testNode([first.host, second.host]));
    const text = readFileSync(node.registriesConf, 'utf8');
    const list = JSON.stringify(search.map(({ host }) => host));
    writeFileSync(
      node.registriesConf,
      text.replace(/^unqualified.*$/m, `unqualified-search-registries = ${list}`),
    );
    return own(await startDaemon(node));
  };
  const sawLogin = ({ asked }: FaultyRegistry): boolean =>
    asked.some(({ headers }) => headers.authorization !== undefined);

  const several = await startWith([first, second]);
  await assert.rejects(
    publish(several, 'team/model:v1', alice),
    /they name no host, and the short name may stand for .*\/team\/model:v1 or .*; write one of them/,
  );
  assert.ok(first.asked.length > 0 && second.asked.length > 0);
  assert.deepEqual([sawLogin(first), sawLogin(second)], [false, false]);
  const one = await startWith([second]);
  await publish(one, 'team/model:v1', alice);
  assert.deepEqual([sawLogin(first), sawLogin(second)], [false, true]);
});

test('a refused load gives no pod access to its repository', async () => {
  const registry = await closed();
  const { reference } = await registry.push('team/model', 'v1', [weights]);
  const repository = reference.slice(0, reference.lastIndexOf(':'));
  const node = own(await testNode([registry.host]));
  const policy = join(node.path, 'policy.json');
  const accept = [{ type: 'insecureAcceptAnything' }];
  const docker = { [reference]: accept, [`${repository}:torn`]: accept };
  writeFileSync(policy, JSON.stringify({ default: [{ type: 'reject' }], transports: { docker } }));
  const daemon = own(await startDaemon(node, { flags: { '--policy': policy } }));
  await publish(daemon, reference, alice);
  assert.match(await load(daemon, `${repository}:unsigned`, 'other'), /PERMISSION_DENIED.*policy\.json/);
  assert.match(await load(daemon, `${repository}:torn`, undefined), /NOT_FOUND.*the layout lacks sha256/);
  for (const pullPolicy of ['IfNotPresent', 'Never'])
    await assert.rejects(
      publish(daemon, reference, {}, { pullPolicy }),
      /UNAUTHENTICATED|PERMISSION_DENIED|NOT_FOUND/,
    );
  assert.equal(await load(daemon, `${repository}:torn`, 'whole'), 'OK');
  await publish(daemon, `${repository}:torn`, {}, { pullPolicy: 'Never' });
});

test('a load gives every pod what it brought, and nothing else of the repository', async () => {
  const registry = await closed();
  const { reference, digest } = await registry.push('team/model', 'v1', [weights]);
  const repository = reference.slice(0, reference.lastIndexOf(':'));
  let daemon = await start([registry]);
  await publish(daemon, reference, alice);
  assert.equal(await load(daemon, `${repository}:public`, 'for all'), 'OK');
  for (const start of [async () => daemon, restart]) {
    daemon = await start(daemon);
    for (const pullPolicy of ['IfNotPresent', 'Never']) {
      const target = await publish(daemon, `${repository}:public`, {}, { pullPolicy });
      assert.equal(readFileSync(join(target, 'weights'), 'utf8'), 'for all');
      for (const closed of [reference, `${repository}@${digest}`])
        await assert.rejects(
          publish(daemon, closed, {}, { pullPolicy }),
          /UNAUTHENTICATED|PERMISSION_DENIED|NOT_FOUND/,
        );
    }
  }
});

test('content that a loaded manifest lists, and that the load did not bring, needs an answer of the registry', async () => {
  const registry = await closed();
  const { reference } = await registry.push('team/model', 'v1', [weights]);
  const repository = reference.slice(0, reference.lastIndexOf(':'));
  const daemon = await start([registry]);
  await publish(daemon, reference, alice);
  const tar = await layoutOf([{ ...weights, isAbsent: true }]);
  await loadTar(daemon, `${repository}:partial`, tar);
  await assert.rejects(
    publish(daemon, `${repository}:partial`, mallory),
    /UNAUTHENTICATED|PERMISSION_DENIED/,
  );
  await assert.rejects(publish(daemon, `${repository}:partial`, {}, { pullPolicy: 'Never' }), /NOT_FOUND/);
});

/** Loads a layout of one file; without content, that file is not in it. */
async function load(daemon: TestDaemon, reference: string, content: string | undefined): Promise<string> {
  const bytes = Buffer.from(content ?? 'not in it');
  const tar = await layoutOf([{ name: 'weights', bytes, isAbsent: content === undefined }]);
  return loadTar(daemon, reference, tar).then(() => 'OK', String);
}

test('the error for a pod without access does not depend on what is cached for others', async () => {
  const registry = await closed();
  const { reference, digest } = await registry.push('team/model', 'v1', [weights]);
  const layer = sha256(weights.bytes);
  const thief = await pushThief(registry, 'team/thief', layer, weights.bytes.length);
  const liar = await pushThief(registry, 'team/liar', layer, weights.bytes.length + 1);
  const repository = reference.slice(0, reference.lastIndexOf(':'));
  const daemon = await start([registry]);
  const hear = async (...of: [string, Secrets?, Secrets?]): Promise<string> =>
    await publish(daemon, ...of).then(
      () => 'OK',
      (thrown: unknown) => String(thrown),
    );
  const hearAll = async (): Promise<readonly string[]> => [
    await hear(reference),
    await hear(reference, mallory),
    await hear(`${repository}@${digest}`, mallory),
    await hear(reference, {}, { pullPolicy: 'Never' }),
    await hear(`${repository}@${digest}`, mallory, { pullPolicy: 'Never' }),
    await hear(thief, alice),
    await hear(liar, alice),
    await hear(thief, alice, { pullPolicy: 'Never' }),
  ];
  const before = await hearAll();
  assert.ok(!before.includes('OK'));
  await publish(daemon, reference, alice);
  assert.deepEqual(await hearAll(), before);
});

test('a pod that had access gets it again without the registry, also after a restart', async () => {
  const registry = await closed();
  const { reference } = await registry.push('team/model', 'v1', [weights]);
  const daemon = await start([registry]);
  await publish(daemon, reference, alice);
  isDown(registry);
  await publish(daemon, reference, alice, { pullPolicy: 'Never' });
  const again = await restart(daemon);
  const before = registry.asked.length;
  assert.equal(
    readFileSync(join(await publish(again, reference, alice), 'weights'), 'utf8'),
    'the private weights',
  );
  assert.equal(registry.asked.length, before);
});

test('no secret is written to disk', async () => {
  const registry = await closed();
  const { reference } = await registry.push('team/model', 'v1', [weights]);
  const daemon = await start([registry]);
  await publish(daemon, reference, alice);
  assert.equal(allTextOf(daemon.node).includes('wörd'), false);
});

test('publicly pulled content is available to every pod without the registry', async () => {
  const registry = await open();
  const { reference } = await registry.push('team/model', 'v1', [weights]);
  const daemon = await start([registry]);
  await publish(daemon, reference);
  isDown(registry);
  await publish(daemon, reference, mallory);
});

test("content pulled with the node's credential is available to every pod", async () => {
  const registry = await closed();
  const { reference } = await registry.push('team/model', 'v1', [weights]);
  const node = own(await testNode([registry.host]));
  const authFile = join(node.path, 'auth.json');
  const auth = Buffer.from('alice:pass:wörd').toString('base64');
  writeFileSync(authFile, JSON.stringify({ auths: { [registry.host]: { auth } } }));
  const daemon = own(await startDaemon(node, { flags: { '--auth-file': authFile } }));
  await publish(daemon, reference);
  isDown(registry);
  await publish(daemon, reference);
});

test('with --cached-authorization=off every pod gets what is cached', async () => {
  const registry = await closed();
  const { reference } = await registry.push('team/model', 'v1', [weights]);
  const daemon = await start([registry], { '--cached-authorization': 'off' });
  await publish(daemon, reference, alice);
  await publish(daemon, reference);
});

/** Pushes a manifest that lists a layer which the repository does not have. */
async function pushThief(
  registry: FaultyRegistry,
  repository: string,
  digest: string,
  size: number,
): Promise<string> {
  const { layers } = await registry.push(repository, 'bait', [{ name: 'bait', bytes: Buffer.from('bait') }]);
  const config = Buffer.from('{}');
  const document = {
    schemaVersion: 2,
    mediaType: ociManifest,
    config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: sha256(config), size: config.length },
    layers: [
      { mediaType: 'text/plain', digest, size, annotations: { 'org.opencontainers.image.title': 'stolen' } },
      ...layers,
    ],
  };
  await registry.registry.putManifest(
    repository,
    'thief',
    ociManifest,
    Buffer.from(JSON.stringify(document)),
  );
  return `${registry.host}/${repository}:thief`;
}

test('a hostile registry that claims every digest gives no access to layers of other registries', async () => {
  const registry = await closed();
  const hostile = await open();
  const { reference } = await registry.push('team/model', 'v1', [weights]);
  const daemon = await start([registry, hostile]);
  await publish(daemon, reference, alice);
  const digest = sha256(weights.bytes);
  const stolen = await pushThief(hostile, 'evil/model', digest, weights.bytes.length);
  hostile.fault(({ method, path }) =>
    method === 'HEAD' && path.includes('/blobs/') ? { kind: 'status', status: 200 } : undefined,
  );
  const request = await publishRequest(daemon.node, { reference: stolen });
  await assert.rejects(daemon.csi.NodePublishVolume(request), /NOT_FOUND/);
  hostile.fault(({ path }) => (path.endsWith(digest) ? { kind: 'wrong-bytes' } : undefined));
  await assert.rejects(daemon.csi.NodePublishVolume(request), /NOT_FOUND|UNAVAILABLE/);
});

test('another repository of the same registry must have a cached layer, and sends it once', async () => {
  const registry = await closed();
  const { reference } = await registry.push('team/model', 'v1', [weights]);
  const daemon = await start([registry]);
  await publish(daemon, reference, alice);
  const digest = sha256(weights.bytes);
  await assert.rejects(
    publish(daemon, await pushThief(registry, 'team/thief', digest, weights.bytes.length), alice),
    /NOT_FOUND: \S+team\/thief:thief: sha256:.* does not exist/,
  );
  const copy = await registry.push('team/copy', 'v1', [
    weights,
    { name: 'more', bytes: Buffer.from('more') },
  ]);
  await publish(daemon, copy.reference, alice);
  assert.equal(registry.count('GET', `team/model/blobs/${digest}`), 1);
  assert.equal(registry.count('GET', `team/copy/blobs/${digest}`), 0);
  assert.equal(registry.count('HEAD', `team/copy/blobs/${digest}`), 1);
});

test('another registry must send a cached layer; it is hashed, and stored once', async () => {
  const registry = await closed();
  const other = await open();
  const { reference } = await registry.push('team/model', 'v1', [weights]);
  const copy = await other.push('team/copy', 'v1', [weights, { name: 'more', bytes: Buffer.from('more') }]);
  const daemon = await start([registry, other]);
  await publish(daemon, reference, alice);
  const target = await publish(daemon, copy.reference);
  assert.equal(readFileSync(join(target, 'weights'), 'utf8'), 'the private weights');
  assert.equal(other.count('GET', sha256(weights.bytes)), 1);
  await publish(daemon, copy.reference);
  assert.equal(other.count('GET', sha256(weights.bytes)), 1);
});

test('a cached layer that a slow registry sends as proof is one pull: shared, listed and gone on with', async () => {
  const registry = await closed();
  const other = await open();
  const layer = { name: 'weights', bytes: randomBytes(2 * 1024 * 1024) };
  const { reference } = await registry.push('team/model', 'v1', [layer]);
  const copy = await other.push('team/copy', 'v1', [layer]);
  const daemon = await start([registry, other]);
  await publish(daemon, reference, alice);
  const bytesPerSecond = layer.bytes.length / 4;
  other.fault(({ path }) => (path.includes('/blobs/') ? { kind: 'slow', bytesPerSecond } : undefined));
  const request = await publishRequest(daemon.node, { reference: copy.reference });
  const first = outcomeOf(daemon.csi.NodePublishVolume(request, { deadline: Date.now() + 3_000 }));
  const others = Array.from({ length: 5 }, () => publish(daemon, copy.reference));
  const isHalfway = async (): Promise<boolean> => {
    const { pulls } = await daemon.artifacts.ListPulls({});
    const { bytes = 0, total_bytes: total = 0 } = pulls[0]?.progress ?? {};
    return pulls.length === 1 && bytes > 0 && bytes < total;
  };
  await waitUntil(daemon, isHalfway, 'the pull is listed with its progress');
  const { code, text } = await first;
  assert.equal(code, 'ABORTED');
  assert.match(text, /pulled .* of 2\.0 MiB, 0 of 1 layers; it goes on, and the next call joins it/);
  await Promise.all(others);
  await daemon.csi.NodePublishVolume(request);
  assert.equal(other.count('GET', sha256(layer.bytes)), 1);
  assert.ok(other.sent('') < 1.5 * layer.bytes.length);
});

test('a digest alone gives no access', async () => {
  const registry = await closed();
  const { digest } = await registry.push('team/model', 'v1', [weights]);
  const daemon = await start([registry]);
  await publish(daemon, `${registry.host}/team/model@${digest}`, alice);
  await assert.rejects(
    publish(daemon, `${registry.host}/team/model@${digest}`),
    /UNAUTHENTICATED|PERMISSION_DENIED/,
  );
  await assert.rejects(
    publish(daemon, `${registry.host}/other/model@${digest}`, alice),
    /PERMISSION_DENIED|NOT_FOUND/,
  );
});

/** A node with a peer that may only pull, and gives what it has to anybody. */
async function withPeer(registry: FaultyRegistry, others: readonly FaultyRegistry[] = []) {
  const peer = await open();
  const node = own(await testNode(others.map(({ host }) => host)));
  const directory = join(node.path, 'hosts', registry.host.replace(/:(\d+)$/, '_$1_'));
  mkdirSync(directory, { recursive: true });
  writeFileSync(
    join(directory, 'hosts.toml'),
    `server = "http://${registry.host}"\n[host."http://${peer.host}"]\ncapabilities = ["pull"]\n`,
  );
  const flags = { '--hosts-dir': join(node.path, 'hosts') };
  return { peer, daemon: own(await startDaemon(node, { flags })) };
}

for (const by of ['tag', 'digest']) {
  test(`a pull-only peer admits nobody by ${by}, cached or not, and serves bytes to pods with access`, async () => {
    const registry = await closed();
    const { peer, daemon } = await withPeer(registry);
    const { digest } = await registry.push('team/model', 'v1', [weights]);
    await peer.push('team/model', 'v1', [weights]);
    const reference = `${registry.host}/team/model${by === 'tag' ? ':v1' : `@${digest}`}`;
    await assert.rejects(publish(daemon, reference), /UNAUTHENTICATED/);
    await publish(daemon, reference, alice);
    assert.equal(registry.count('GET', sha256(weights.bytes)), 0);
    await assert.rejects(publish(daemon, reference), /UNAUTHENTICATED/);
    await assert.rejects(publish(daemon, reference, {}, { pullPolicy: 'Never' }), /NOT_FOUND/);
    isDown(registry);
    await publish(daemon, reference, alice);
  });
}

test('a mirror for digests only admits nobody by a tag', async () => {
  const [registry, mirror] = [await closed(), await open()];
  const node = own(await testNode());
  const where = (host: string): string => `location = "${host}"\ninsecure = true\n`;
  writeFileSync(
    node.registriesConf,
    `[[registry]]\n${where(registry.host)}[[registry.mirror]]\n${where(mirror.host)}pull-from-mirror = "digest-only"\n`,
  );
  const daemon = own(await startDaemon(node));
  const { reference } = await registry.push('team/model', 'v1', [weights]);
  await mirror.push('team/model', 'v1', [weights]);
  await publish(daemon, reference, alice);
  await assert.rejects(publish(daemon, reference), /UNAUTHENTICATED/);
  assert.deepEqual(mirror.asked, []);
});

test('content that a peer served for a public repository gives no access to other repositories', async () => {
  const [registry, far] = [await open(), await open()];
  const { peer, daemon } = await withPeer(registry, [far]);
  await peer.push('evil/open', 'v1', [weights]); // it has all under all names
  const digest = sha256(weights.bytes);
  const thief = await pushThief(registry, 'evil/open', digest, weights.bytes.length);
  await publish(daemon, thief); // through the peer, which needs no credentials
  const sent = peer.count('GET', digest);
  await publish(daemon, thief);
  assert.equal(peer.count('GET', digest), sent, 'and it is not asked again');
  for (const other of [registry, far]) {
    const reference = await pushThief(other, 'evil/other', digest, weights.bytes.length);
    await assert.rejects(publish(daemon, reference), /NOT_FOUND/);
  }
});

test('while the registry is down, a peer serves shared content again, and the registry is waited for once', async () => {
  const registry = await open();
  const { peer, daemon } = await withPeer(registry);
  const parts = ['a', 'b', 'c'].map(name => ({ name, bytes: Buffer.from(`part ${name}`) }));
  const more = { name: 'more', bytes: Buffer.from('more') };
  for (const each of [registry, peer]) {
    await each.push('team/model', 'v1', parts);
    await each.push('team/copy', 'v1', [...parts, more]);
  }
  await publish(daemon, `${registry.host}/team/model:v1`);
  // Unavailable, and no use in trying again.
  registry.fault(({ path }) =>
    path.includes('/blobs/') ? { kind: 'redirect', to: 'ftp://nowhere/' } : undefined,
  );
  const before = registry.asked.length;
  const target = await publish(daemon, `${registry.host}/team/copy:v1`);
  assert.deepEqual(readdirSync(target), ['a', 'b', 'c', 'more']);
  const asked = registry.asked.slice(before).filter(({ path }) => path.includes('/blobs/'));
  assert.equal(new Set(asked.map(({ path }) => path)).size, 1);
});

function allTextOf({ stateDir }: TestNode): string {
  return readdirSync(stateDir, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => readFileSync(join(entry.parentPath, entry.name), 'latin1'))
    .map(text => Buffer.from(text, 'latin1').toString())
    .join('\n');
}
