import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { globSync, readdirSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { waitUntil } from '../support/node/child.ts';
import {
  publishRequest,
  startDaemon,
  type TestDaemon,
  type TestNode,
  testNode,
} from '../support/node/daemon.ts';
import { ownForEach } from '../support/os/owned.ts';
import { ownAddress } from '../support/os/port.ts';
import { mountXfs } from '../support/os/xfs.ts';
import { needs } from '../support/project/tools.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import { proxyPort, realScheduler, startDfdaemon } from './dfdaemon.ts';
import { openScheduler } from './scheduler.ts';

/** Blobs from files of dfdaemon by its socket: a stand-in, or the real one by npm run test:dragonfly. */

const MiB = 2 ** 20;
const pieceBytes = 4 * MiB;
const password = 'S3CRET';
const own = ownForEach();
const suite = new AsyncDisposableStack();
let home: FaultyRegistry;
let guarded: FaultyRegistry;
/** It is asked by a host whose response_timeout is short. */
let slow: FaultyRegistry;
let node: TestNode;
let daemon: TestDaemon;
/** A filesystem whose files can share blocks, with the state directory and what dfdaemon has. */
let disk: string;
let place: { readonly socket: string; readonly storage: string };
const proxy = ownAddress();

before(async () => {
  home = suite.use(await openFaultyRegistry());
  guarded = suite.use(await openFaultyRegistry({ guard: { kind: 'basic', username: 'robot', password } }));
  slow = suite.use(await openFaultyRegistry());
  node = suite.use(await testNode());
  if (needs('root', 'mkfs.xfs').skip !== false) return;
  disk = suite.use(mountXfs(node.path)).path;
  place = { socket: join(node.path, 'dfdaemon.sock'), storage: join(disk, 'dragonfly') };
  daemon = await start({ '--state-dir': join(disk, 'state') });
  suite.defer(() => daemon[Symbol.asyncDispose]());
});
after(() => suite.disposeAsync());
beforeEach(() => home.reset());

async function start(flags: Readonly<Record<string, string>>): Promise<TestDaemon> {
  const hostsDir = join(node.path, 'hosts');
  for (const [name, registry] of [
    ['open.test', home],
    ['closed.test', guarded],
    ['slow.test', slow],
  ] as const) {
    await mkdir(join(hostsDir, name), { recursive: true });
    const host = `[host."http://${proxy}:${proxyPort}"]`;
    const text = `server = "http://${registry.host}"\n${host}\ncapabilities = ["pull"]\ndial_timeout = "1s"\nresponse_timeout = "${registry === slow ? 1 : 30}s"\n${host.replace(']', '.header]')}\nX-Dragonfly-Registry = "http://${registry.host}"\n`;
    await writeFile(join(hostsDir, name, 'hosts.toml'), text);
  }
  return await startDaemon(node, {
    flags: {
      '--hosts-dir': hostsDir,
      '--dragonfly-socket': place.socket,
      '--dragonfly-dir': handovers(),
      ...flags,
    },
  });
}

const handovers = (): string => join(place.storage, 'oci-artifact-csi');

async function dfdaemon() {
  return own(await startDfdaemon(proxy, realScheduler ?? own(await openScheduler()).address, '10s', place));
}

async function push(name: string, size: number, registry = home) {
  const bytes = randomBytes(size);
  const { layers } = await registry.push(`team/${name}`, 'v1', [{ name: 'model.bin', bytes }]);
  const [layer] = layers;
  assert.ok(layer !== undefined);
  const path = `/v2/team/${name}/blobs/${layer.digest}`;
  const asked = () =>
    registry.asked.filter(({ method, path: one }) => method === 'GET' && one.startsWith(path));
  const sent = () => registry.sent(path) + registry.sent(`${path}?ns=open.test`);
  const host = registry === home ? 'open.test' : registry === slow ? 'slow.test' : 'closed.test';
  const reference = `${host}/team/${name}:v1`;
  return { reference, bytes, path, asked, sent };
}

async function mount(reference: string, secrets = {}, by = daemon): Promise<string> {
  const request = await publishRequest(node, { reference }, secrets);
  await by.csi.NodePublishVolume(request);
  return join(request.target_path, 'model.bin');
}

/** Whether the driver asked the proxy of dfdaemon for a blob. */
const askedProxy = (path: string, by = daemon): boolean =>
  by
    .output()
    .split('\n')
    .some(line => line.includes(`"host":"${proxy}:${proxyPort}"`) && line.includes(path));

const usedBytes = (): number => {
  const { blocks, bfree, bsize } = statfsSync(disk);
  return (blocks - bfree) * bsize;
};

/** The file of this size in dfdaemon's storage. */
function fileOf(bytes: number): string {
  const files = globSync(join(place.storage, '**')).filter(path => statSync(path).size === bytes);
  assert.equal(files.length, 1);
  return files[0] ?? '';
}

const options = needs('root', 'mkfs.xfs');

test('a blob of dfdaemon is on the disk once, and dfdaemon cannot write to it', options, async () => {
  await dfdaemon();
  const before = usedBytes();
  const { reference, bytes, path, sent } = await push('once', 16.5 * MiB);
  const file = await mount(reference);
  assert.deepEqual(await readFile(file), bytes);
  assert.ok(!askedProxy(path));
  assert.ok(sent() < 1.01 * bytes.length, `${sent()} bytes`);
  assert.deepEqual(readdirSync(handovers()), []);
  execFileSync('sync', ['-f', disk]);
  const more = usedBytes() - before;
  assert.ok(more < 1.5 * bytes.length, `${more} bytes of disk for ${bytes.length}`);
  const theirs = fileOf(bytes.length);
  assert.deepEqual(await readFile(theirs), bytes);
  writeFileSync(theirs, Buffer.alloc(bytes.length));
  assert.deepEqual(await readFile(file), bytes);
  assert.deepEqual((await daemon.artifacts.GetStatus({})).problems, []);
});

test('a socket that dies in mid-blob costs no byte that is here', options, async () => {
  const child = await dfdaemon();
  const { reference, bytes, asked } = await push('dies', 4 * pieceBytes);
  const isLater = (range = ''): boolean => Number(/^bytes=(\d+)-\d+$/.exec(range)?.[1] ?? 0) >= pieceBytes;
  home.fault(({ headers }) => (isLater(headers.range) ? { kind: 'stall', after: 0 } : undefined));
  const mounted = mount(reference);
  await waitUntil(daemon, () => asked().length >= 2 && readdirSync(handovers()).length > 0, 'begun');
  await waitUntil(daemon, async () => (await pulled()) >= pieceBytes, 'a piece');
  await child.end('SIGKILL');
  assert.deepEqual(await readFile(await mounted), bytes);
  assert.equal(asked().at(-1)?.headers.range, `bytes=${pieceBytes}-`);
});

/** The bytes that the pulls under way have. */
async function pulled(): Promise<number> {
  const { pulls } = await daemon.artifacts.ListPulls({});
  return pulls.reduce((sum, { progress }) => sum + (progress?.bytes ?? 0), 0);
}

test('a socket that hangs is left for the proxy', options, async () => {
  daemon = await restart();
  own(await openSilence(place.socket));
  own(await startDfdaemon(proxy, realScheduler ?? own(await openScheduler()).address));
  const { reference, bytes, path } = await push('hangs', pieceBytes, slow);
  assert.deepEqual(await readFile(await mount(reference)), bytes);
  assert.match(daemon.output(), /dfdaemon sent nothing for 1 s/);
  assert.ok(askedProxy(path));
  const { problems } = await daemon.artifacts.GetStatus({});
  assert.match(problems.join('\n'), /^dfdaemon's socket is not used for http:\S+ until /m);
});

/** A socket that accepts connections and never answers. */
async function openSilence(socket: string): Promise<AsyncDisposable> {
  await rm(socket, { force: true });
  const accepted = new Set<Socket>();
  const server = createServer(one => void accepted.add(one.on('error', () => {})));
  await once(server.listen(socket), 'listening');
  return {
    async [Symbol.asyncDispose]() {
      const closed = once(server.close(), 'close');
      for (const one of accepted) one.destroy();
      await closed;
    },
  };
}

test(
  'a blob that the registry lacks is missing, and the socket is still used for others',
  options,
  async () => {
    daemon = await restart();
    await dfdaemon();
    const lost = await push('lost', pieceBytes);
    home.fault(({ path }) => (path.includes('/blobs/') ? { kind: 'status', status: 404 } : undefined));
    await assert.rejects(mount(lost.reference), /NOT_FOUND/);
    home.fault(() => undefined);
    const { reference, bytes, path } = await push('found', pieceBytes + 2);
    assert.deepEqual(await readFile(await mount(reference)), bytes);
    assert.ok(!askedProxy(path));
  },
);

test('wrong bytes of dfdaemon are not used', options, async () => {
  daemon = await restart();
  await dfdaemon();
  const { reference, bytes, asked } = await push('lies', 1.5 * pieceBytes);
  home.fault(({ headers }) => (headers.range === undefined ? undefined : { kind: 'wrong-bytes' }));
  assert.deepEqual(await readFile(await mount(reference)), bytes);
  assert.equal(asked().at(-1)?.headers.range, undefined);
});

test('a private blob needs the credential for the address of dfdaemon', options, async () => {
  daemon = await restart();
  await dfdaemon();
  const named = await push('named', 2 * pieceBytes, guarded);
  const address = `${proxy}:${proxyPort}`;
  assert.deepEqual(
    await readFile(await mount(named.reference, secretFor(guarded.host, address))),
    named.bytes,
  );
  assert.ok(!askedProxy(named.path));
  assert.ok(named.asked().every(({ headers }) => headers.range !== undefined));
  const unnamed = await push('unnamed', pieceBytes + 1, guarded);
  assert.deepEqual(await readFile(await mount(unnamed.reference, secretFor(guarded.host))), unnamed.bytes);
  assert.equal(unnamed.asked().at(-1)?.headers.range, undefined);
  const shown = unnamed.asked().filter(({ headers }) => headers.range !== undefined);
  assert.ok(shown.every(({ headers }) => headers.authorization === undefined));
});

test('without shared blocks, blobs come from the proxy, and status says why', options, async () => {
  await daemon[Symbol.asyncDispose]();
  await using elsewhere = await start({});
  await dfdaemon();
  const { reference, bytes, path, sent } = await push('elsewhere', 2.5 * pieceBytes);
  assert.deepEqual(await readFile(await mount(reference, {}, elsewhere)), bytes);
  assert.ok(askedProxy(path, elsewhere));
  assert.ok(sent() < 1.01 * bytes.length, `${sent()} bytes`);
  const { problems } = await elsewhere.artifacts.GetStatus({});
  assert.match(
    problems.join('\n'),
    /--dragonfly-socket is not used: .* not on one filesystem that shares blocks/,
  );
});

/** A daemon that does not rest because of an earlier failure. */
async function restart(): Promise<TestDaemon> {
  await daemon[Symbol.asyncDispose]();
  return await start({ '--state-dir': join(disk, 'state') });
}

/** A pull secret with one user of these hosts. */
function secretFor(...hosts: readonly string[]): Readonly<Record<string, string>> {
  const auths = Object.fromEntries(hosts.map(host => [host, { username: 'robot', password }]));
  return { '.dockerconfigjson': JSON.stringify({ auths }) };
}
