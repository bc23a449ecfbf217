import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { waitUntil } from '../support/node/child.ts';
import type { TestDaemon } from '../support/node/daemon.ts';
import { ownForEach } from '../support/os/owned.ts';
import { needs } from '../support/project/tools.ts';
import { type HandoverWorld, isLaterPiece, openHandoverWorld, pulledBytes } from './handover-world.ts';

/** Files of dfdaemon that become those of the cache, where blocks cannot be shared. */

const MiB = 2 ** 20;
const pieceBytes = 4 * MiB;
const own = ownForEach();
const options = needs('root', 'mkfs.ext4');
let world: HandoverWorld;

before(async () => {
  if (options.skip === false) world = await openHandoverWorld('ext4');
});
after(() => world?.[Symbol.asyncDispose]());
beforeEach(() => world?.registries.open.reset());

async function start(): Promise<TestDaemon> {
  const stateDir = join(world.disk, 'state');
  return own(await world.startDaemon({ '--state-dir': stateDir, '--dragonfly-link': 'true' }));
}

const handovers = (): readonly string[] => readdirSync(join(world.place.storage, 'oci-artifact-csi'));

test('a blob is on the disk once, under a name of dfdaemon and one of the cache', options, async () => {
  const daemon = await start();
  own(await world.startDfdaemon());
  const before = world.usedBytes();
  const { reference, bytes, path, sent } = await world.push('once', 16.5 * MiB);
  const file = await world.mount(reference, daemon);
  assert.deepEqual(await readFile(file), bytes);
  assert.ok(!world.askedProxy(path, daemon));
  assert.ok(sent() < 1.01 * bytes.length, `${sent()} bytes`);
  assert.deepEqual(handovers(), []);
  const more = world.usedBytes() - before;
  assert.ok(more < 1.5 * bytes.length, `${more} bytes of disk for ${bytes.length}`);
  assert.equal(statSync(file).ino, statSync(world.fileOf(bytes.length)).ino);
  assert.deepEqual((await daemon.artifacts.GetStatus({})).problems, []);
});

test('when dfdaemon removes its name, the content stays and is hashed again', options, async () => {
  const daemon = await start();
  own(await world.startDfdaemon());
  const { reference, bytes, asked } = await world.push('removed', 1.5 * pieceBytes);
  await world.mount(reference, daemon);
  const count = asked().length;
  await rm(world.fileOf(bytes.length));
  assert.deepEqual(await readFile(await world.mount(reference, daemon)), bytes);
  assert.equal(asked().length, count);
});

test(
  'what dfdaemon writes to the file is found at the next mount, and pulled from the registry',
  options,
  async () => {
    const daemon = await start();
    own(await world.startDfdaemon());
    const { reference, bytes, asked } = await world.push('changed', 2.5 * pieceBytes);
    await world.mount(reference, daemon);
    const theirs = world.fileOf(bytes.length);
    writeFileSync(theirs, Buffer.alloc(10), { flag: 'r+' });
    const file = await world.mount(reference, daemon);
    assert.deepEqual(await readFile(file), bytes);
    assert.equal(asked().at(-1)?.headers.range, undefined);
    assert.notEqual(statSync(file).ino, statSync(theirs).ino);
  },
);

test('a socket that dies in mid-blob costs no byte that is here', options, async () => {
  const daemon = await start();
  const child = own(await world.startDfdaemon());
  const { reference, bytes, asked } = await world.push('dies', 4 * pieceBytes);
  world.registries.open.fault(({ headers }) =>
    isLaterPiece(headers.range, pieceBytes) ? { kind: 'stall', after: 0 } : undefined,
  );
  const mounted = world.mount(reference, daemon);
  await waitUntil(daemon, async () => (await pulledBytes(daemon)) >= pieceBytes, 'a piece');
  await child.end('SIGKILL');
  const file = await mounted;
  assert.deepEqual(await readFile(file), bytes);
  assert.equal(asked().at(-1)?.headers.range, `bytes=${pieceBytes}-`);
  assert.equal(statSync(file).nlink, 2, 'the blob and the view');
});

test('a directory in another mount is left for the proxy, and status says why', options, async () => {
  const mounted = join(world.disk, 'dragonfly');
  execFileSync('mount', ['--bind', mounted, mounted]);
  own({ [Symbol.asyncDispose]: async () => void execFileSync('umount', [mounted]) });
  const daemon = await start();
  own(await world.startDfdaemon());
  const { reference, bytes, sent } = await world.push('elsewhere', 4.5 * pieceBytes);
  assert.deepEqual(await readFile(await world.mount(reference, daemon)), bytes);
  assert.ok(sent() < 1.01 * bytes.length, `${sent()} bytes`);
  const { problems } = await daemon.artifacts.GetStatus({});
  assert.match(problems.join('\n'), /--dragonfly-socket is not used: .* are not in one mount \(EXDEV\)/);
});
