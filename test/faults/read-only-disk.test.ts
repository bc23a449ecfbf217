import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { connectRemote } from '../../src/grpc/client/client.ts';
import type { Finding } from '../../src/ports/usecases.ts';
import { waitUntil } from '../support/node/child.ts';
import { publishRequest, spawnDaemon, type TestDaemon, type TestNode } from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { request } from '../support/node/samples.ts';
import { verifyGone, verifyVolume } from '../support/node/volume.ts';
import { mountsBelow } from '../support/os/mounts.ts';
import { runProgram } from '../support/os/program.ts';
import { openSmallDisk, type SmallDisk, type SmallVolume } from '../support/os/small-disk.ts';
import { needs } from '../support/project/tools.ts';

const KiB = 1024;
const unwritable = /the state directory \S+ cannot be written \(EROFS\): .* mount the disk for writing again/;

async function ask({ http }: TestDaemon, path: 'healthz' | 'readyz'): Promise<string> {
  return fetch(`${http}/${path}`).then(
    async answer => `${answer.status} ${await answer.text()}`,
    () => '',
  );
}

/** What a daemon does on a disk that cannot be written: it serves what is mounted, and ends one of two volumes. */
async function verifyServes(
  { node, registry }: SmallDisk,
  daemon: TestDaemon,
  ends: SmallVolume,
  stays: SmallVolume,
): Promise<void> {
  const { csi } = daemon;
  await waitUntil(daemon, async () => unwritable.test(await ask(daemon, 'readyz')), 'not ready');
  assert.match(await ask(daemon, 'healthz'), /^200 ok/, 'a restart would not help');
  await csi.NodePublishVolume(stays.request);
  const { volume_id, target_path } = stays.request;
  await csi.NodeGetVolumeStats({ volume_id, volume_path: target_path });
  registry.reset();
  const again = await publishRequest(node, { reference: stays.reference });
  const { code, text } = await outcomeOf(csi.NodePublishVolume(again));
  assert.equal(code, 'UNAVAILABLE', text);
  assert.match(text, unwritable);
  verifyGone(again.target_path);
  await verifyCommands(node, stays.reference);
  assert.deepEqual(registry.asked, [], 'no registry is asked in vain');
  for (const _ of ['once', 'and again']) await csi.NodeUnpublishVolume(ends.request);
  verifyGone(ends.request.target_path);
  verifyVolume(target_path, stays.shown);
}

/** What commands do there: those that read work, and those that change something are refused with the reason. */
async function verifyCommands({ socket }: TestNode, reference: string): Promise<void> {
  const { artifacts, close } = connectRemote(socket);
  await using _ = { [Symbol.asyncDispose]: close };
  const signal = AbortSignal.timeout(20_000);
  const findings: Finding[] = [];
  const check = (repair: boolean) => artifacts.fsck(repair, finding => void findings.push(finding), signal);
  assert.ok((await artifacts.list()).some(one => one.reference === reference));
  await artifacts.inspect(reference);
  await artifacts.previewPrune(signal);
  await check(false);
  assert.deepEqual(findings, []);
  async function* tar(): AsyncGenerator<Uint8Array> {
    yield Buffer.alloc(1024);
  }
  const changes = {
    pull: () => artifacts.pull({ ...request, reference }, () => {}, signal),
    load: () => artifacts.load(tar(), undefined, signal),
    remove: () => artifacts.remove(reference),
    prune: () => artifacts.prune(signal),
    pin: () => artifacts.pin(reference),
    unpin: () => artifacts.unpin(reference),
    repair: () => check(true),
  };
  for (const [name, change] of Object.entries(changes))
    await assert.rejects(change, { code: 'unavailable', message: unwritable }, name);
}

test(
  'a daemon on a state disk that turned read-only is not ready, and its volumes can end',
  needs('root'),
  async () => {
    await using around = await openSmallDisk('size=24m');
    const { node, daemon, root } = around;
    const [ends, stays] = [await around.volume(KiB), await around.volume(KiB)];
    for (const volume of [ends, stays]) await around.publish(volume);
    // Lookups by path find a read-only filesystem. The disk is open for writing, so it cannot be remounted.
    runProgram('mount', '--bind', root, root);
    runProgram('mount', '-o', 'remount,bind,ro', root);
    try {
      await verifyServes(around, daemon, ends, stays);
    } finally {
      runProgram('umount', root);
    }
    await waitUntil(daemon, async () => (await ask(daemon, 'readyz')).startsWith('200'), 'ready again');
    await around.publish(ends);
    assert.equal(readdirSync(join(node.stateDir, 'volumes')).length, 2);
  },
);

test(
  'a daemon that starts on a read-only disk serves mounted volumes until the disk is writable',
  needs('root'),
  async () => {
    await using around = await openSmallDisk('size=24m');
    const { node, root } = around;
    const [ends, stays] = [await around.volume(KiB), await around.volume(KiB)];
    for (const volume of [ends, stays]) await around.publish(volume);
    await around.daemon.end('SIGTERM');
    runProgram('mount', '-o', 'remount,ro', root);
    await using daemon = await spawnDaemon(node);
    await verifyServes(around, daemon, ends, stays);
    runProgram('mount', '-o', 'remount,rw', root);
    assert.match(await ask(daemon, 'healthz'), /^503 .*can be written again; restart the daemon/);
    await daemon.end('SIGTERM');
    await using next = await spawnDaemon(node);
    await waitUntil(next, async () => (await ask(next, 'readyz')).startsWith('200'), 'ready');
    await next.csi.NodePublishVolume(ends.request);
    verifyVolume(ends.request.target_path, ends.shown);
    verifyVolume(stays.request.target_path, stays.shown);
  },
);

test('a volume on a read-only kubelet disk ends, and its empty directory stays', needs('root'), async () => {
  await using around = await openSmallDisk('size=24m');
  const { node, daemon } = around;
  const volume = await around.volume(KiB);
  await around.publish(volume);
  const { kubeletDir } = node;
  runProgram('mount', '--bind', kubeletDir, kubeletDir);
  runProgram('mount', '-o', 'remount,bind,ro', kubeletDir);
  try {
    await daemon.csi.NodeUnpublishVolume(volume.request);
    assert.deepEqual(readdirSync(volume.request.target_path), []);
    assert.deepEqual(readdirSync(join(node.stateDir, 'volumes')), []);
  } finally {
    runProgram('umount', kubeletDir);
  }
  await daemon.csi.NodeUnpublishVolume(volume.request);
  verifyGone(volume.request.target_path);
  assert.deepEqual(mountsBelow(kubeletDir), []);
});
