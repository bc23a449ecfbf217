import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { waitUntil } from '../support/node/child.ts';
import {
  publishRequest,
  startDaemon,
  type TestDaemon,
  type TestNode,
  testNode,
} from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { ownForEach } from '../support/os/owned.ts';
import { ownAddress } from '../support/os/port.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import { proxyPort, realDfdaemon, realScheduler, startDfdaemon } from './dfdaemon.ts';
import { openScheduler, openSilentScheduler } from './scheduler.ts';

/** Nodes with dfdaemon of Dragonfly as a mirror by hosts.toml: a stand-in, or the real one by npm run test:dragonfly. */

const MiB = 2 ** 20;
const pieceBytes = 4 * MiB;
const names = [
  'plain',
  'shared',
  'resumed',
  'missing',
  'dead',
  'killed',
  'hanging',
  'silent',
  'lying',
  'private',
  'unnamed',
] as const;
type Name = (typeof names)[number];

/** A node, its daemon, and an address for dfdaemon in each test. */
type Member = {
  readonly node: TestNode;
  daemon: TestDaemon;
  readonly proxies: Readonly<Record<Name, string>>;
};

const password = 'S3CRET';
const own = ownForEach();
let home: FaultyRegistry;
let guarded: FaultyRegistry;
let members: readonly [Member, Member];

before(async () => {
  home = await openFaultyRegistry();
  guarded = await openFaultyRegistry({ guard: { kind: 'basic', username: 'robot', password } });
  members = [await openMember(), await openMember()];
});
afterEach(() => home.reset());
after(async () => {
  for (const { node, daemon } of members ?? []) {
    await daemon[Symbol.asyncDispose]();
    await node[Symbol.asyncDispose]();
  }
  await guarded?.[Symbol.asyncDispose]();
  await home?.[Symbol.asyncDispose]();
});

async function openMember(): Promise<Member> {
  const node = await testNode();
  const proxies = Object.fromEntries(names.map(name => [name, ownAddress()])) as Record<Name, string>;
  for (const name of names) {
    const directory = join(node.path, 'hosts', `${name}.test`);
    const registry = `http://${(name === 'private' || name === 'unnamed' ? guarded : home).host}`;
    const proxy = `http://${proxies[name]}:${proxyPort}`;
    await mkdir(directory, { recursive: true });
    await writeFile(
      join(directory, 'hosts.toml'),
      `server = "${registry}"
[host."${proxy}"]
capabilities = ["pull"]
dial_timeout = "1s"
${name === 'silent' ? 'response_timeout = "1s"' : ''}
[host."${proxy}".header]
X-Dragonfly-Registry = "${registry}"
`,
    );
  }
  return { node, daemon: await start(node), proxies };
}

function start(node: TestNode): Promise<TestDaemon> {
  return startDaemon(node, { flags: { '--hosts-dir': join(node.path, 'hosts') } });
}

async function scheduler(): Promise<string> {
  return realScheduler ?? own(await openScheduler()).address;
}

/** Pushes an artifact of one file. `manifest` and `path` are the paths of its manifest and its blob at the registry. */
async function push(name: Name, size: number, registry = home) {
  const bytes = randomBytes(size);
  const { digest, layers } = await registry.push(`team/${name}`, 'v1', [{ name: 'model.bin', bytes }]);
  const manifest = `/v2/team/${name}/manifests/${digest}`;
  const path = `/v2/team/${name}/blobs/${layers[0]?.digest}`;
  const asked = () =>
    registry.asked.filter(({ method, path: one }) => method === 'GET' && one.startsWith(path));
  const sent = () =>
    [...new Set(asked().map(({ path: one }) => one))].reduce((sum, one) => sum + registry.sent(one), 0);
  return { reference: `${name}.test/team/${name}:v1`, bytes, manifest, path, asked, sent };
}

async function mount({ node, daemon }: Member, reference: string, secrets = {}): Promise<Buffer> {
  const request = await publishRequest(node, { reference }, secrets);
  await daemon.csi.NodePublishVolume(request);
  return await readFile(join(request.target_path, 'model.bin'));
}

/** Whether the driver got so much of a blob from dfdaemon, with this status. */
function gotFrom(name: Name, { daemon, proxies }: Member, path: string, status: number): boolean {
  return daemon
    .output()
    .split('\n')
    .some(line => {
      if (!line.includes(`"host":"${proxies[name]}:${proxyPort}"`)) return false;
      const logged = JSON.parse(line) as { path?: string; status?: number };
      return logged.path === path && logged.status === status;
    });
}

async function ingestedBytes({ stateDir }: TestNode): Promise<number> {
  const directory = join(stateDir, 'ingest');
  let bytes = 0;
  for (const file of await readdir(directory))
    bytes += (await stat(join(directory, file)).catch(() => undefined))?.size ?? 0;
  return bytes;
}

/** Where a range that is not the first piece begins, as dfdaemon asks for it. The driver asks without an end. */
function isLaterPiece(range: string | undefined): boolean {
  return Number(/^bytes=(\d+)-\d+$/.exec(range ?? '')?.[1] ?? 0) >= pieceBytes;
}

test('blobs come through dfdaemon, and what a tag names from the registry', async () => {
  const [member] = members;
  own(await startDfdaemon(member.proxies.plain, await scheduler()));
  const { reference, bytes, path, sent } = await push('plain', 2.5 * pieceBytes);
  assert.deepEqual(await mount(member, reference), bytes);
  assert.ok(gotFrom('plain', member, path, 200));
  assert.ok(sent() < 1.01 * bytes.length, `${sent()} bytes`);
  assert.equal(home.asked[0]?.method, 'HEAD');
  assert.equal(home.asked[0]?.path, '/v2/team/plain/manifests/v1?ns=plain.test');
});

test('two nodes that start at once take one copy from the registry', {
  skip: realDfdaemon !== undefined && realScheduler === undefined && 'needs the address of a scheduler',
}, async () => {
  const address = await scheduler();
  for (const { proxies } of members) own(await startDfdaemon(proxies.shared, address));
  const { reference, bytes, path, sent } = await push('shared', 4.5 * pieceBytes);
  const [one, other] = await Promise.all(members.map(member => mount(member, reference)));
  assert.deepEqual([one, other], [bytes, bytes]);
  for (const member of members) assert.ok(gotFrom('shared', member, path, 200));
  assert.ok(sent() < 1.01 * bytes.length, `${sent()} bytes`);
});

test('a pull that a kill interrupted goes on by Range at dfdaemon', async () => {
  const [member] = members;
  own(await startDfdaemon(member.proxies.resumed, await scheduler()));
  const { reference, bytes, path, sent } = await push('resumed', 2.5 * pieceBytes);
  home.fault(({ headers }) =>
    isLaterPiece(headers.range) ? { kind: 'slow', bytesPerSecond: 2 * MiB } : undefined,
  );
  const request = await publishRequest(member.node, { reference });
  const interrupted = outcomeOf(member.daemon.csi.NodePublishVolume(request));
  await waitUntil(member.daemon, async () => (await ingestedBytes(member.node)) >= pieceBytes, 'begun');
  await member.daemon[Symbol.asyncDispose]();
  assert.notEqual((await interrupted).code, 'OK');
  member.daemon = await start(member.node);
  assert.deepEqual(await mount(member, reference), bytes);
  assert.ok(gotFrom('resumed', member, path, 206));
  assert.ok(sent() < 1.01 * bytes.length, `${sent()} bytes`);
});

test('a blob that the registry lacks is missing, and dfdaemon is still asked for others', async () => {
  const [member] = members;
  own(await startDfdaemon(member.proxies.missing, await scheduler()));
  const lost = await push('missing', 1000);
  home.fault(({ path }) => (path.includes('/blobs/') ? { kind: 'status', status: 404 } : undefined));
  const { code, text } = await outcomeOf(mount(member, lost.reference));
  assert.equal(code, 'NOT_FOUND', text);
  assert.ok(gotFrom('missing', member, lost.path, 404));
  home.fault(() => undefined);
  const { reference, bytes, path } = await push('missing', 1001);
  assert.deepEqual(await mount(member, reference), bytes);
  assert.ok(gotFrom('missing', member, path, 200));
});

test('without dfdaemon, the registry serves, and dfdaemon is not asked for a while', async () => {
  const [member] = members;
  const { reference, bytes, asked } = await push('dead', pieceBytes);
  assert.deepEqual(await mount(member, reference), bytes);
  assert.deepEqual(
    asked().map(({ headers }) => headers.range),
    [undefined],
  );
  assert.match(
    member.daemon.output(),
    new RegExp(`"mirror":"${member.proxies.dead}:${proxyPort}".*"mirror skipped`),
  );
});

test('a pull continues at the registry if dfdaemon dies in mid-blob', async () => {
  const [member] = members;
  const dfdaemon = own(await startDfdaemon(member.proxies.killed, await scheduler()));
  const { reference, bytes, asked } = await push('killed', 2.5 * pieceBytes);
  home.fault(({ headers }) => (isLaterPiece(headers.range) ? { kind: 'stall', after: 0 } : undefined));
  const mounted = mount(member, reference);
  await waitUntil(member.daemon, async () => (await ingestedBytes(member.node)) >= pieceBytes, 'begun');
  await dfdaemon.end('SIGKILL');
  assert.deepEqual(await mounted, bytes);
  assert.equal(asked().at(-1)?.headers.range, `bytes=${pieceBytes}-`);
});

test('a scheduler that hangs costs the time that dfdaemon gives it', async () => {
  const [member] = members;
  const hanging = own(await openSilentScheduler());
  own(await startDfdaemon(member.proxies.hanging, hanging.address, '2s'));
  const { reference, bytes, sent } = await push('hanging', 2.5 * pieceBytes);
  assert.deepEqual(await mount(member, reference), bytes);
  assert.ok(sent() < 1.01 * bytes.length, `${sent()} bytes`);
});

test('a dfdaemon that is silent for longer than response_timeout is left for the registry', async () => {
  const [member] = members;
  const hanging = own(await openSilentScheduler());
  own(await startDfdaemon(member.proxies.silent, hanging.address, '10m'));
  const { reference, bytes, asked } = await push('silent', pieceBytes);
  assert.deepEqual(await mount(member, reference), bytes);
  assert.deepEqual(
    asked().map(({ headers }) => headers.range),
    [undefined],
  );
});

test('wrong bytes from dfdaemon are not used', async () => {
  const [member] = members;
  own(await startDfdaemon(member.proxies.lying, await scheduler()));
  const { reference, bytes, path, asked } = await push('lying', 1.5 * pieceBytes);
  home.fault(({ headers }) => (isLaterPiece(headers.range) ? { kind: 'wrong-bytes' } : undefined));
  assert.deepEqual(await mount(member, reference), bytes);
  assert.ok(gotFrom('lying', member, path, 200));
  assert.equal(asked().at(-1)?.headers.range, undefined);
});

test('a private blob comes through dfdaemon with the credential for its address', async () => {
  const [member] = members;
  own(await startDfdaemon(member.proxies.private, await scheduler()));
  const { reference, bytes, path, asked, sent } = await push('private', pieceBytes, guarded);
  const secret = secretFor(guarded.host, `${member.proxies.private}:${proxyPort}`);
  assert.deepEqual(await mount(member, reference, secret), bytes);
  assert.ok(gotFrom('private', member, path, 200));
  assert.ok(asked().every(({ headers }) => headers.range !== undefined));
  assert.ok(sent() < 1.01 * bytes.length, `${sent()} bytes`);
});

test('a private blob comes from the registry without a credential for the address of dfdaemon', async () => {
  const [member] = members;
  own(await startDfdaemon(member.proxies.unnamed, await scheduler()));
  const { reference, bytes, manifest, asked } = await push('unnamed', pieceBytes, guarded);
  assert.deepEqual(await mount(member, reference, secretFor(guarded.host)), bytes);
  assert.ok(gotFrom('unnamed', member, manifest, 401));
  assert.equal(asked().at(-1)?.headers.range, undefined);
});

/** A pull secret with one user of these hosts. */
function secretFor(...hosts: readonly string[]): Readonly<Record<string, string>> {
  const auths = Object.fromEntries(hosts.map(host => [host, { username: 'robot', password }]));
  return { '.dockerconfigjson': JSON.stringify({ auths }) };
}
