import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import {
  publishRequest,
  startDaemon,
  type TestDaemon,
  type TestNode,
  testNode,
} from '../support/node/daemon.ts';
import { shownOf, verifyVolume } from '../support/node/volume.ts';
import { gzip, tarOf } from '../support/oci/tar.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';

/** Puts something else in the place of each file of the state directory: the daemon neither stops nor shows it. */

const registry = await openFaultyRegistry();
after(() => registry[Symbol.asyncDispose]());
const files = [
  ['a', 'text'],
  ['d/b', 'b'.repeat(5_000)],
] as const;
const bytes = gzip(await tarOf(files.map(([name, content]) => [{ name }, content])));
const mediaType = 'application/vnd.acme.layer.v1.tar+gzip';
const { reference: tar } = await registry.push('tar', 'v1', [{ bytes, mediaType }]);
const { reference: plain } = await registry.push(
  'plain',
  'v1',
  files.map(([name, content]) => ({ name, bytes: Buffer.from(content) })),
);

const replacements: Readonly<Record<string, (path: string) => unknown>> = {
  'a FIFO': path => execFileSync('mkfifo', [path]),
  'a device': path => execFileSync('mknod', [path, 'c', '1', '5']),
  'a symlink': path => symlinkSync('/dev/zero', path),
  'a directory': path => mkdirSync(path),
};

async function publish(node: TestNode, daemon: TestDaemon, reference: string): Promise<void> {
  const request = await publishRequest(node, { reference });
  await daemon.csi.NodePublishVolume(request, { deadline: Date.now() + 20_000 });
  verifyVolume(request.target_path, shownOf(files));
  await daemon.csi.NodeUnpublishVolume(request);
}

/** The daemon refuses to start without the first ones, and writes the others all the time. */
const left = new Set(['format', 'lock', 'unsynced', 'salt', 'verified', 'sizes']);

const filesBelow = (directory: string): readonly string[] =>
  (readdirSync(directory, { recursive: true }) as string[])
    .map(name => join(directory, name))
    .filter(path => lstatSync(path).isFile() && !left.has(path.slice(directory.length + 1)));

function putBelow(directory: string, put: (path: string) => unknown): number {
  const all = filesBelow(directory).filter(path => existsSync(path));
  for (const path of all) {
    rmSync(path, { recursive: true, force: true });
    if (existsSync(dirname(path))) put(path); // the daemon may have taken a view out of use
  }
  return all.length;
}

async function verifyAll(node: TestNode, daemon: TestDaemon): Promise<void> {
  for await (const _ of daemon.streams.Fsck({ repair: false }));
  await daemon.artifacts.List({});
  for (const reference of [tar, plain]) await publish(node, daemon, reference);
  for await (const _ of daemon.streams.Fsck({ repair: true }));
  for await (const { finding } of daemon.streams.Fsck({ repair: false }))
    assert.equal(finding?.problem, undefined);
}

for (const [what, put] of Object.entries(replacements)) {
  test(`${what} in the place of any file of the cache stops nothing`, async t => {
    await using node = await testNode([registry.host]);
    await using daemon = await startDaemon(node);
    for (const reference of [tar, plain]) await publish(node, daemon, reference);
    t.diagnostic(`${putBelow(node.stateDir, put)} files`);
    await verifyAll(node, daemon);
    assert.equal(await daemon.end('SIGTERM'), 0, daemon.output());
  });
}

test('a FIFO in the place of any file of a cache of trees does not stop the next daemon', async () => {
  await using node = await testNode([registry.host], { views: 'trees' });
  {
    await using daemon = await startDaemon(node);
    for (const reference of [tar, plain]) await publish(node, daemon, reference);
    assert.equal(await daemon.end('SIGTERM'), 0, daemon.output());
  }
  putBelow(node.stateDir, path => execFileSync('mkfifo', [path]));
  await using daemon = await startDaemon(node, { flags: { '--scrub-interval': '1s' } });
  await verifyAll(node, daemon);
});

test('a daemon whose state directory has something in the place of its version names it, and does not start', async () => {
  await using node = await testNode([registry.host]);
  mkdirSync(node.stateDir, { mode: 0o700 });
  execFileSync('mkfifo', [join(node.stateDir, 'format')]);
  await assert.rejects(startDaemon(node), /format is a FIFO, and must be a regular file; remove it/);
});
