/**
 * Runs in a machine, and prints what its kernel does with the view of a tar and with volumes that are to be loaded on
 * demand, also when the daemon is killed. Nothing here may depend on how long something takes.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { release } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { strain } from '../support/late/strain.ts';
import { waitUntil } from '../support/node/child.ts';
import { publishRequest, spawnDaemon, type TestDaemon, testNode } from '../support/node/daemon.ts';
import { gzip, sha256, tarOf } from '../support/oci/tar.ts';
import { listMounts, mountsBelow } from '../support/os/mounts.ts';
import { runProgram } from '../support/os/program.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';

await using registry = await openFaultyRegistry();
await using node = await testNode([registry.host]);
const large = randomBytes(2 * 2 ** 20 + 77);
const digest = sha256(large);

const say = (what: string): void => console.log(`- ${what}`);

/** Reads in another process, because this one is the registry: the digest, or the error. */
function read(path: string): Promise<string> {
  return new Promise(resolve => {
    execFile('sha256sum', [path], (error, stdout, stderr) =>
      resolve(error === null ? `sha256:${stdout.split(' ')[0]}` : stderr.trim()),
    );
  });
}

async function start(): Promise<TestDaemon> {
  const daemon = await spawnDaemon(node);
  const answers = (): Promise<boolean> =>
    daemon.identity.Probe({}, { deadline: Date.now() + 30_000 }).then(
      () => true,
      () => false,
    );
  await waitUntil(daemon, answers, 'ready', 300_000);
  return daemon;
}

async function loadingOf({ artifacts }: TestDaemon, target: string) {
  const { volumes } = await artifacts.ListVolumes({});
  return volumes.find(({ target_path }) => target_path === target)?.loading ?? undefined;
}

async function publish(daemon: TestDaemon, name: string, layer: Parameters<typeof registry.push>[2][0]) {
  const { reference } = await registry.push(name, 'v1', [layer]);
  const request = await publishRequest(node, { reference, loading: 'onDemand' });
  await daemon.csi.NodePublishVolume(request);
  return { request, file: join(request.target_path, 'weights') };
}

async function show(daemon: TestDaemon, kind: string, layer: Parameters<typeof registry.push>[2][0]) {
  const { request, file } = await publish(daemon, kind, layer);
  const type = listMounts().find(({ mountPoint }) => mountPoint === request.target_path)?.type;
  const isLoading = (await loadingOf(daemon, request.target_path)) !== undefined;
  assert.equal(await read(file), digest);
  say(
    `a ${kind} is a mount of ${type}, made ${isLoading ? 'before' : 'when'} all was here, with right bytes`,
  );
  await daemon.csi.NodeUnpublishVolume(request);
  return isLoading;
}

async function factsOf({ http }: TestDaemon): Promise<readonly string[]> {
  const page = await (await fetch(`${http}/readyz`)).text();
  return page.match(/^(EROFS views|loading on demand): .*$/gm) ?? [];
}

say(`Linux ${release()}`);
let isLoaded: boolean;
let killed: Awaited<ReturnType<typeof publish>> | undefined;
{
  await using daemon = await start();
  registry.fault(() => ({ kind: 'slow', bytesPerSecond: 2 ** 20 }));
  const tar = gzip(await tarOf([[{ name: 'weights' }, large]]));
  await show(daemon, 'tar', { bytes: tar, mediaType: 'application/vnd.acme.layer.v1.tar+gzip' });
  isLoaded = await show(daemon, 'file', { bytes: large, name: 'weights' });
  for (const line of await factsOf(daemon)) say(line);
  if (isLoaded) {
    await daemon.artifacts.Prune({});
    registry.fault(({ path }) => (path.includes('/blobs/') ? { kind: 'stall', after: 100 } : undefined));
    killed = await publish(daemon, 'again', { bytes: large, name: 'weights' });
    const reading = read(killed.file);
    while (((await loadingOf(daemon, killed.request.target_path))?.waiting_reads ?? 0) === 0)
      await sleep(100);
    await daemon.end('SIGKILL');
    assert.match(await reading, /Input\/output error/);
    assert.match(await read(killed.file), /Input\/output error/);
    say('the daemon was killed: the read that waited failed, and so did the next one');
  }
}
registry.fault(() => undefined);
if (killed !== undefined) {
  await using daemon = await start();
  while ((await read(killed.file)) !== digest) await sleep(100);
  say('the next daemon brought the content: the same mount has right bytes');
  await daemon.csi.NodeUnpublishVolume(killed.request);
  const { right, wrong, ...counts } = await strain({
    readers: 3,
    milliseconds: 30_000,
    killEveryMs: 6_000,
    isDirect: false,
  });
  assert.deepEqual(wrong, []);
  assert.ok(right > 0 && counts.asked > 0 && counts.killed > 0, JSON.stringify({ right, ...counts }));
  say(`under strain ${right} reads had right bytes and none wrong ones: ${JSON.stringify(counts)}`);
}
if (killed !== undefined) {
  runProgram('mount', '-o', 'remount,ro', '/sys');
  await using daemon = await start();
  await daemon.artifacts.Prune({});
  await show(daemon, 'file', { bytes: large, name: 'weights' });
  for (const line of await factsOf(daemon)) say(`with a read-only /sys, ${line}`);
}
assert.deepEqual(mountsBelow(node.kubeletDir), []);
