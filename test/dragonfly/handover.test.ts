import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { waitUntil } from '../support/node/child.ts';
import type { TestDaemon } from '../support/node/daemon.ts';
import { ownForEach } from '../support/os/owned.ts';
import { needs } from '../support/project/tools.ts';
import { proxyPort, realScheduler, startDfdaemon } from './dfdaemon.ts';
import {
  type HandoverWorld,
  isLaterPiece,
  openHandoverWorld,
  password,
  pulledBytes,
} from './handover-world.ts';
import { openScheduler } from './scheduler.ts';

/** Blobs from files of dfdaemon by its socket: a stand-in, or the real one by npm run test:dragonfly. */

const MiB = 2 ** 20;
const pieceBytes = 4 * MiB;
const own = ownForEach();
const options = needs('root', 'mkfs.xfs');
let world: HandoverWorld;
let daemon: TestDaemon;

before(async () => {
  if (options.skip !== false) return;
  world = await openHandoverWorld('xfs');
  daemon = await start();
});
after(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
});
beforeEach(() => world?.registries.open.reset());

const start = (): Promise<TestDaemon> => world.startDaemon({ '--state-dir': join(world.disk, 'state') });
const handovers = (): string => join(world.place.storage, 'oci-artifact-csi');
const dfdaemon = async () => own(await world.startDfdaemon());

/** A daemon that does not rest because of an earlier failure. */
async function restart(): Promise<TestDaemon> {
  await daemon[Symbol.asyncDispose]();
  return await start();
}

test('a blob of dfdaemon is on the disk once, and dfdaemon cannot write to it', options, async () => {
  await dfdaemon();
  const before = world.usedBytes();
  const { reference, bytes, path, sent } = await world.push('once', 16.5 * MiB);
  const file = await world.mount(reference, daemon);
  assert.deepEqual(await readFile(file), bytes);
  assert.ok(!world.askedProxy(path, daemon));
  assert.ok(sent() < 1.01 * bytes.length, `${sent()} bytes`);
  assert.deepEqual(readdirSync(handovers()), []);
  const more = world.usedBytes() - before;
  assert.ok(more < 1.5 * bytes.length, `${more} bytes of disk for ${bytes.length}`);
  const theirs = world.fileOf(bytes.length);
  assert.deepEqual(await readFile(theirs), bytes);
  writeFileSync(theirs, Buffer.alloc(bytes.length));
  assert.deepEqual(await readFile(file), bytes);
  assert.deepEqual((await daemon.artifacts.GetStatus({})).problems, []);
});

test('a socket that dies in mid-blob costs no byte that is here', options, async () => {
  const child = await dfdaemon();
  const { reference, bytes, asked } = await world.push('dies', 4 * pieceBytes);
  world.registries.open.fault(({ headers }) =>
    isLaterPiece(headers.range, pieceBytes) ? { kind: 'stall', after: 0 } : undefined,
  );
  const mounted = world.mount(reference, daemon);
  await waitUntil(daemon, () => asked().length >= 2 && readdirSync(handovers()).length > 0, 'begun');
  await waitUntil(daemon, async () => (await pulledBytes(daemon)) >= pieceBytes, 'a piece');
  await child.end('SIGKILL');
  assert.deepEqual(await readFile(await mounted), bytes);
  assert.equal(asked().at(-1)?.headers.range, `bytes=${pieceBytes}-`);
});

test('a socket that hangs is left for the proxy', options, async () => {
  daemon = await restart();
  own(await openSilence(world.place.socket));
  own(await startDfdaemon(world.proxy, realScheduler ?? own(await openScheduler()).address));
  const { reference, bytes, path } = await world.push('hangs', pieceBytes, 'slow');
  assert.deepEqual(await readFile(await world.mount(reference, daemon)), bytes);
  assert.match(daemon.output(), /dfdaemon sent nothing for 1 s/);
  assert.ok(world.askedProxy(path, daemon));
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
    const { open } = world.registries;
    const lost = await world.push('lost', pieceBytes);
    open.fault(({ path }) => (path.includes('/blobs/') ? { kind: 'status', status: 404 } : undefined));
    await assert.rejects(world.mount(lost.reference, daemon), /NOT_FOUND/);
    open.fault(() => undefined);
    const { reference, bytes, path } = await world.push('found', pieceBytes + 2);
    assert.deepEqual(await readFile(await world.mount(reference, daemon)), bytes);
    assert.ok(!world.askedProxy(path, daemon));
  },
);

test('wrong bytes of dfdaemon are not used', options, async () => {
  daemon = await restart();
  await dfdaemon();
  const { reference, bytes, asked } = await world.push('lies', 1.5 * pieceBytes);
  world.registries.open.fault(({ headers }) =>
    headers.range === undefined ? undefined : { kind: 'wrong-bytes' },
  );
  assert.deepEqual(await readFile(await world.mount(reference, daemon)), bytes);
  assert.equal(asked().at(-1)?.headers.range, undefined);
});

test('a private blob needs the credential for the address of dfdaemon', options, async () => {
  daemon = await restart();
  await dfdaemon();
  const named = await world.push('named', 2 * pieceBytes, 'closed');
  const address = `${world.proxy}:${proxyPort}`;
  const { host } = world.registries.closed;
  const shown = await world.mount(named.reference, daemon, secretFor(host, address));
  assert.deepEqual(await readFile(shown), named.bytes);
  assert.ok(!world.askedProxy(named.path, daemon));
  assert.ok(named.asked().every(({ headers }) => headers.range !== undefined));
  const unnamed = await world.push('unnamed', pieceBytes + 1, 'closed');
  const file = await world.mount(unnamed.reference, daemon, secretFor(host));
  assert.deepEqual(await readFile(file), unnamed.bytes);
  assert.equal(unnamed.asked().at(-1)?.headers.range, undefined);
  const ofDfdaemon = unnamed.asked().filter(({ headers }) => headers.range !== undefined);
  assert.ok(ofDfdaemon.every(({ headers }) => headers.authorization === undefined));
});

/** A pull secret with one user of these hosts. */
function secretFor(...hosts: readonly string[]): Readonly<Record<string, string>> {
  const auths = Object.fromEntries(hosts.map(host => [host, { username: 'robot', password }]));
  return { '.dockerconfigjson': JSON.stringify({ auths }) };
}

test('without shared blocks, blobs come from the proxy, and status says why', options, async () => {
  await daemon[Symbol.asyncDispose]();
  await using elsewhere = await world.startDaemon({});
  await dfdaemon();
  const { reference, bytes, path, sent } = await world.push('elsewhere', 2.5 * pieceBytes);
  assert.deepEqual(await readFile(await world.mount(reference, elsewhere)), bytes);
  assert.ok(world.askedProxy(path, elsewhere));
  assert.ok(sent() < 1.01 * bytes.length, `${sent()} bytes`);
  const { problems } = await elsewhere.artifacts.GetStatus({});
  assert.match(
    problems.join('\n'),
    /--dragonfly-socket is not used: .* not on one filesystem that shares blocks .*--dragonfly-link is off/,
  );
});
