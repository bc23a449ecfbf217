import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ociManifest } from '../../src/oci/manifest.ts';
import { losesDevice, lost } from '../support/late/lost-device.ts';
import { watchConnections } from '../support/late/watchdog.ts';
import { publishRequest, startDaemon, type TestDaemon, testNode } from '../support/node/daemon.ts';
import { layoutOf, loadTar } from '../support/oci/layout.ts';
import { sha256 } from '../support/oci/tar.ts';
import { mountsBelow, unmountBelow } from '../support/os/mounts.ts';
import { runProgram } from '../support/os/program.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';

const registry = await openFaultyRegistry();
after(() => registry[Symbol.asyncDispose]());
let pushed = 0;
const mib = 1024 * 1024;

type Sample = { readonly reference: string; readonly digests: Readonly<Record<string, string>> };

/** Pushes an artifact of a small file and large ones of these sizes. */
async function push(...sizes: readonly number[]): Promise<Sample> {
  const files = [
    { name: 'config.json', bytes: Buffer.from('{}') },
    ...sizes.map((size, at) => ({ name: `shard-${at}`, bytes: randomBytes(size) })),
  ];
  const { reference } = await registry.push(`on-demand-${pushed++}`, 'v1', files);
  return { reference, digests: Object.fromEntries(files.map(({ name, bytes }) => [name, sha256(bytes)])) };
}

/** Pushes the manifest of an artifact whose large files the registry lacks. */
async function pushSizes(...sizes: readonly number[]): Promise<Sample> {
  const sample = await push();
  const { registry: store, host } = registry;
  const repository = sample.reference.slice(host.length + 1, -':v1'.length);
  const layers = sizes.map((size, at) => ({
    mediaType: 'application/octet-stream',
    digest: sha256(randomBytes(32)),
    size,
    annotations: { 'org.opencontainers.image.title': `shard-${at}` },
  }));
  const config = {
    mediaType: 'application/vnd.oci.empty.v1+json',
    digest: sha256(Buffer.from('{}')),
    size: 2,
  };
  const manifest = {
    schemaVersion: 2,
    mediaType: ociManifest,
    artifactType: 'application/x',
    config,
    layers,
  };
  await store.putManifest(repository, 'v1', ociManifest, Buffer.from(JSON.stringify(manifest)));
  return sample;
}

async function publish(daemon: TestDaemon, { reference }: Sample) {
  const request = await publishRequest(daemon.node, { reference, loading: 'onDemand' });
  await daemon.csi.NodePublishVolume(request);
  return request;
}

/** Reads in a process of its own, which is killed after so long: the digest, or the error. */
function read(path: string, withinMs = 30_000): Promise<string> {
  return new Promise(resolve => {
    execFile('sha256sum', [path], { timeout: withinMs, killSignal: 'SIGKILL' }, (error, stdout, stderr) =>
      resolve(error === null ? `sha256:${stdout.split(' ')[0]}` : error.killed ? 'killed' : stderr.trim()),
    );
  });
}

const shards = (size: number): readonly number[] => Array.from({ length: 30 }, () => size);

type Rule = Parameters<typeof registry.fault>[0];

/** Spoils the answers to requests for these files of a sample. */
function spoil(sample: Sample, names: readonly string[], fault: ReturnType<Rule>): void {
  const spoilt = new Set(names.map(name => sample.digests[name]));
  registry.fault(({ path }) => (spoilt.has(path.slice(path.lastIndexOf('/') + 1)) ? fault : undefined));
}

const heal = (): void => registry.fault(() => undefined);
const slow = { kind: 'slow', bytesPerSecond: mib } as const;
const away = { kind: 'status', status: 404 } as const;
const patience = { flags: { '--on-demand-patience': '2s' } } as const;
const [first, second] = ['shard-0', 'shard-1'];

async function volumeOf({ artifacts }: TestDaemon, target: string) {
  const { volumes } = await artifacts.ListVolumes({});
  const found = volumes.find(({ target_path }) => target_path === target);
  assert.ok(found);
  return found;
}

async function waitFor(what: string, is: () => Promise<boolean>): Promise<void> {
  const until = Date.now() + 40_000;
  while (!(await is())) {
    assert.ok(Date.now() < until, what);
    await sleep(50);
  }
}

const isComplete = async (daemon: TestDaemon, target: string): Promise<boolean> => {
  const { loading } = await volumeOf(daemon, target);
  return loading !== null && loading.total_bytes > 0 && loading.bytes === loading.total_bytes;
};

async function waitingReads({ http }: TestDaemon): Promise<number> {
  const text = await (await fetch(`${http}/metrics`)).text();
  return Number(/^oci_artifact_csi_on_demand_waiting_reads (\d+)$/m.exec(text)?.[1]);
}

async function unpublish(
  { csi }: TestDaemon,
  { volume_id, target_path }: Awaited<ReturnType<typeof publish>>,
) {
  await csi.NodeUnpublishVolume({ volume_id, target_path });
}

/** Ends the FUSE connections of a process, as the kernel does when they are not answered. */
async function abortFuse(pid: number): Promise<void> {
  await using control = await temporaryDirectory();
  runProgram('mount', '-t', 'fusectl', 'fusectl', control.path);
  for (const fd of readdirSync(`/proc/${pid}/fdinfo`)) {
    const info = await readFile(`/proc/${pid}/fdinfo/${fd}`, 'utf8').catch(() => ''); // it was just closed
    const [, connection] = /^fuse_connection:\s*(\d+)/m.exec(info) ?? [];
    if (connection !== undefined) writeFileSync(join(control.path, connection, 'abort'), '1');
  }
  runProgram('umount', control.path);
}

test('a volume is mounted before its large layers are here, a read waits for its own, and all of it is right', async () => {
  await using node = await testNode([registry.host]);
  const sample = await push(2 * mib, 2 * mib + 1234, 3 * mib);
  await using daemon = await startDaemon(node);
  spoil(sample, [first, second, 'shard-2'], slow);
  const { target_path: target } = await publish(daemon, sample);
  assert.equal(await read(join(target, 'config.json')), sample.digests['config.json']);
  const reading = read(join(target, 'shard-2'));
  await waitFor('it waits', async () => ((await volumeOf(daemon, target)).loading?.waiting_reads ?? 0) > 0);
  await waitFor('it is counted', async () => (await waitingReads(daemon)) > 0);
  for (const [name, digest] of Object.entries(sample.digests))
    assert.equal(await read(join(target, name)), digest);
  assert.equal(await reading, sample.digests['shard-2']);
  await waitFor('none waits', async () => (await waitingReads(daemon)) === 0);
  const [, published = '{}'] = /^(.*"msg":"volume published".*)$/m.exec(daemon.output()) ?? [];
  const { pulled, later } = JSON.parse(published) as { readonly pulled: number; readonly later: number };
  assert.ok(pulled < mib && later === 7 * mib + 1234, published);
  heal();
});

test('a volume that is complete depends on nobody, and later ones show the ordinary view', async () => {
  await using node = await testNode([registry.host]);
  const sample = await push(2 * mib, 2 * mib + 4096);
  let target: string;
  {
    await using daemon = await startDaemon(node);
    target = (await publish(daemon, sample)).target_path;
    await waitFor('complete', () => isComplete(daemon, target));
    let later = await publish(daemon, sample);
    await waitFor('the ordinary view', async () => {
      if ((await volumeOf(daemon, later.target_path)).loading === null) return true;
      later = await publish(daemon, sample);
      return false;
    });
    const views = [target, later.target_path].map(async path => (await volumeOf(daemon, path)).view);
    const [ours = '', ordinary = ''] = await Promise.all(views);
    assert.ok(ours.startsWith(`${ordinary}-`), ours);
    assert.equal(statSync(join(later.target_path, first)).nlink, 3); // with the blob and the late view
  }
  for (const [name, digest] of Object.entries(sample.digests))
    assert.equal(await read(join(target, name)), digest);
  await using daemon = await startDaemon(node);
  await daemon.artifacts.Prune({});
  for (const [name, digest] of Object.entries(sample.digests))
    assert.equal(await read(join(target, name)), digest);
});

for (const [status, why] of [
  [404, /404/],
  [401, /401/],
] as const)
  test(`a layer that a registry answers with ${status} fails at once and says why, and comes when it no longer does`, async () => {
    await using node = await testNode([registry.host]);
    const sample = await push(2 * mib, 2 * mib);
    await using daemon = await startDaemon(node, patience);
    spoil(sample, [second], { kind: 'status', status });
    const request = await publish(daemon, sample);
    const { target_path: target, volume_id } = request;
    assert.equal(await read(join(target, first)), sample.digests[first]);
    assert.match(await read(join(target, second), 10_000), /Input\/output error/);
    const { loading } = await volumeOf(daemon, target);
    assert.match(loading?.problem ?? '', why);
    const { volume_condition } = await daemon.csi.NodeGetVolumeStats({ volume_id, volume_path: target });
    assert.ok(volume_condition?.abnormal);
    assert.match(volume_condition.message, /cannot be read/);
    assert.match(await read(join(target, second), 2_000), /Input\/output error/); // remembered
    heal();
    await daemon.csi.NodePublishVolume(request); // kubelet publishes again
    await waitFor('complete', () => isComplete(daemon, target));
    await sleep(5_000); // in which the failure is remembered by nobody: the kernel asks for what is here
    assert.equal(await read(join(target, second)), sample.digests[second]);
  });

test('a layer that is loaded from elsewhere is shown at once, although its download is silent', async () => {
  await using node = await testNode([registry.host]);
  const shard = { name: first, bytes: randomBytes(3 * mib) };
  const { reference } = await registry.push(`on-demand-${pushed++}`, 'v1', [shard]);
  const sample = { reference, digests: { [first]: sha256(shard.bytes) } };
  await using daemon = await startDaemon(node);
  spoil(sample, [first], { kind: 'stall', after: mib });
  const { target_path: target } = await publish(daemon, sample);
  const reading = read(join(target, first), 15_000); // a silent download ends by itself after 30 seconds
  await waitFor('it is silent', async () => ((await volumeOf(daemon, target)).loading?.bytes ?? 0) > mib / 2);
  await loadTar(daemon, reference.replace(/:v1$/, ':loaded'), await layoutOf([shard]));
  assert.equal(await reading, sample.digests[first]);
  await waitFor('it is complete', () => isComplete(daemon, target));
  heal();
});

test('wrong bytes are never shown', async () => {
  await using node = await testNode([registry.host]);
  const sample = await push(2 * mib);
  await using daemon = await startDaemon(node, patience);
  spoil(sample, [first], { kind: 'wrong-bytes' });
  const { target_path: target } = await publish(daemon, sample);
  assert.match(await read(join(target, first), 15_000), /Input\/output error/);
  heal();
  await waitFor('right', async () => (await read(join(target, first))) === sample.digests[first]);
});

test('a read waits no longer than the patience, and the next one succeeds when the network is back', async () => {
  await using node = await testNode([registry.host]);
  const sample = await push(2 * mib);
  await using daemon = await startDaemon(node, patience);
  spoil(sample, [first], { kind: 'stall', after: mib }); // the connection stays, and says no more
  const { target_path: target } = await publish(daemon, sample);
  const begun = Date.now();
  assert.match(await read(join(target, first), 15_000), /Input\/output error/);
  const took = Date.now() - begun;
  assert.ok(took >= 1_900 && took < 7_000, String(took));
  heal();
  await sleep(5_100); // the failure is remembered for 5 s
  assert.equal(await read(join(target, first)), sample.digests[first]);
});

test('after its pull is cancelled a layer comes that is read, and the others once another pod wants them', async () => {
  await using node = await testNode([registry.host]);
  const sample = await push(2 * mib, 2 * mib, 2 * mib);
  await using daemon = await startDaemon(node);
  const { promise: until, resolve: letCome } = Promise.withResolvers<void>();
  spoil(sample, [first, second, 'shard-2'], { kind: 'hold', after: 0, until });
  const { target_path: target } = await publish(daemon, sample);
  assert.equal((await daemon.artifacts.CancelPull({ reference: sample.reference })).pulls, 1);
  registry.reset();
  letCome();
  assert.equal(await read(join(target, 'shard-2')), sample.digests['shard-2']);
  const isAsked = (name: string): boolean =>
    registry.asked.some(({ path }) => path.endsWith(sample.digests[name] ?? ''));
  assert.deepEqual([first, second, 'shard-2'].map(isAsked), [false, false, true]);
  const { loading } = await volumeOf(daemon, target);
  assert.deepEqual([loading?.stopped, loading?.problem], [true, '']);
  await publish(daemon, sample);
  await waitFor('complete', () => isComplete(daemon, target));
});

test('a daemon that is killed leaves what is here, and the next one completes the same mount', async () => {
  await using node = await testNode([registry.host]);
  const sample = await push(2 * mib, 2 * mib + 77);
  let target: string;
  {
    await using daemon = await startDaemon(node, patience);
    spoil(sample, [second], away);
    target = (await publish(daemon, sample)).target_path;
    assert.equal(await read(join(target, first)), sample.digests[first]);
  }
  assert.equal(await read(join(target, first)), sample.digests[first]);
  assert.match(await read(join(target, second)), /Input\/output error/);
  assert.equal(statSync(join(target, second)).size, 2 * mib + 77);
  spoil(sample, [second], slow);
  await using daemon = await startDaemon(node, patience);
  const problem = async () => (await volumeOf(daemon, target)).loading?.problem ?? '';
  await waitFor('it says why reads fail', async () => /the daemon .* has ended/.test(await problem()));
  await waitFor('complete', () => isComplete(daemon, target));
  await waitFor('no read fails', async () => (await problem()) === '');
  assert.equal(await read(join(target, second)), sample.digests[second]);
  heal();
});

test('where the kernel ends the reads of missing content, volumes say so, and later ones do not join them', async () => {
  await using node = await testNode([registry.host]);
  const sample = await push(2 * mib);
  await using daemon = await startDaemon(node, patience);
  spoil(sample, [first], slow);
  const { target_path: target } = await publish(daemon, sample);
  await abortFuse(daemon.pid);
  await waitFor('it says so', async () =>
    /the kernel has ended/.test((await volumeOf(daemon, target)).loading?.problem ?? ''),
  );
  const later = await publish(daemon, sample);
  assert.equal((await volumeOf(daemon, later.target_path)).loading, null);
  assert.equal(await read(join(later.target_path, first)), sample.digests[first]);
  heal();
});

test('where the thread of the landings fails, volumes say so, later ones are loaded fully, and mounts heal', async () => {
  await using node = await testNode([registry.host]);
  const sample = await push(2 * mib);
  await using daemon = await startDaemon(node, { ...patience, env: losesDevice });
  spoil(sample, [first], away);
  const request = await publish(daemon, sample);
  const path = join(request.target_path, first);
  process.kill(daemon.pid, 'SIGUSR2');
  await waitFor('it is lost', async () => daemon.output().includes(lost));
  assert.match(await read(path), /Input\/output error/);
  await waitFor('it says so', async () =>
    /^loading on demand: off \(the thread for missing bytes has failed/m.test(
      await (await fetch(`${daemon.http}/readyz`)).text(),
    ),
  );
  const another = await push(2 * mib);
  const later = await publish(daemon, another);
  assert.equal((await volumeOf(daemon, later.target_path)).loading, null);
  assert.match(await read(path), /Input\/output error/);
  heal();
  await daemon.csi.NodePublishVolume(request);
  await waitFor('it heals', async () => (await read(path)) === sample.digests[first]);
});

test('a volume that cannot be continued counts as stalled until it ends', async () => {
  await using node = await testNode([registry.host]);
  const sample = await push(2 * mib);
  let request: Awaited<ReturnType<typeof publish>>;
  {
    await using daemon = await startDaemon(node, patience);
    spoil(sample, [first], away);
    request = await publish(daemon, sample);
  }
  registry.fault(() => ({ kind: 'status', status: 401 }));
  await using daemon = await startDaemon(node, patience);
  const stalled = async (): Promise<string | undefined> =>
    /^oci_artifact_csi_on_demand_views\{state="stalled"\} (\d+)$/m.exec(
      await (await fetch(`${daemon.http}/metrics`)).text(),
    )?.[1];
  await waitFor('stalled', async () => (await stalled()) === '1');
  const { loading } = await volumeOf(daemon, request.target_path);
  assert.ok(loading?.problem);
  await daemon.csi.NodePublishVolume(request); // what a failing attempt leaves alone
  assert.equal(statSync(join(request.target_path, first)).size, 2 * mib);
  await unpublish(daemon, request);
  await waitFor('none', async () => (await stalled()) === '0');
  assert.deepEqual(mountsBelow(node.kubeletDir), []);
  heal();
});

test('after a reboot nothing of an image is believed, and the same volume is loaded again', async () => {
  await using node = await testNode([registry.host]);
  const sample = await push(2 * mib, 2 * mib);
  let request: Awaited<ReturnType<typeof publish>>;
  spoil(sample, [second], away);
  {
    await using daemon = await startDaemon(node, patience);
    request = await publish(daemon, sample);
    assert.equal(await read(join(request.target_path, first)), sample.digests[first]);
  }
  unmountBelow(node.kubeletDir);
  const [key = ''] = readdirSync(join(node.stateDir, 'late'));
  const record = join(node.stateDir, 'late', key, 'record');
  writeFileSync(record, readFileSync(record, 'utf8').replace(/"bootId":"/, '"bootId":"an earlier one '));
  await using daemon = await startDaemon(node, patience);
  assert.deepEqual(readdirSync(join(node.stateDir, 'late')), []);
  await daemon.csi.NodePublishVolume(request);
  assert.equal(await read(join(request.target_path, first)), sample.digests[first]);
  heal();
  await waitFor(
    'right',
    async () => (await read(join(request.target_path, second))) === sample.digests[second],
  );
});

test('an unpublish fails the reads that wait, ends the mount, and the download', async () => {
  await using node = await testNode([registry.host]);
  const sample = await push(2 * mib);
  await using daemon = await startDaemon(node);
  spoil(sample, [first], { kind: 'stall', after: 100 });
  const request = await publish(daemon, sample);
  const reading = read(join(request.target_path, first));
  await waitFor(
    'it waits',
    async () => ((await volumeOf(daemon, request.target_path)).loading?.waiting_reads ?? 0) > 0,
  );
  const killed = Date.now();
  assert.equal(await read(join(request.target_path, first), 500), 'killed');
  assert.ok(Date.now() - killed < 2_000);
  await unpublish(daemon, request);
  assert.match(await reading, /Input\/output error/);
  assert.deepEqual(mountsBelow(node.kubeletDir), []);
  assert.deepEqual(readdirSync(join(node.stateDir, 'late')), []);
  assert.deepEqual((await daemon.artifacts.ListPulls({})).pulls, []);
  heal();
});

test('an unpublish ends a volume whose image was unmounted by hand, although a killed reader left a read', async () => {
  await using _watch = await watchConnections(30_000);
  await using node = await testNode([registry.host]);
  const sample = await push(2 * mib);
  await using daemon = await startDaemon(node);
  spoil(sample, [first], { kind: 'stall', after: 100 });
  const request = await publish(daemon, sample);
  assert.equal(await read(join(request.target_path, first), 500), 'killed');
  unmountBelow(join(node.kubeletDir, 'plugins'));
  const begun = Date.now();
  await unpublish(daemon, request);
  assert.ok(Date.now() - begun < 5_000);
  assert.deepEqual(mountsBelow(node.kubeletDir), []);
  heal();
});

test('pods share a volume that is loaded, and garbage collection takes nothing of it', async () => {
  await using node = await testNode([registry.host]);
  const sample = await push(2 * mib);
  await using daemon = await startDaemon(node);
  spoil(sample, [first], slow);
  const [one, other] = [await publish(daemon, sample), await publish(daemon, sample)];
  const views = [one, other].map(async ({ target_path }) => (await volumeOf(daemon, target_path)).view);
  assert.equal(new Set(await Promise.all(views)).size, 1);
  const reading = read(join(other.target_path, first));
  await unpublish(daemon, one);
  await daemon.artifacts.Prune({});
  for await (const { finding } of daemon.streams.Fsck({ repair: true })) assert.ok(!finding);
  assert.equal(await reading, sample.digests[first]);
  heal();
});

test('without room for all of it, a volume is refused before it is mounted', async () => {
  const cases = [
    { make: () => push(3 * mib), flags: { '--cache-max': '2MiB' } },
    // Small files are stored, and copied for the image.
    { make: () => push(mib, mib, 2 * mib), flags: { '--cache-max': '5MiB' } },
    { make: () => pushSizes(...shards(mib * mib)), flags: {} }, // more than any disk
  ];
  for (const { make, flags } of cases) {
    await using node = await testNode([registry.host]);
    const sample = await make();
    await using daemon = await startDaemon(node, { flags });
    const { code } = await publish(daemon, sample).then(
      () => ({ code: 0 }),
      (thrown: { code: number }) => thrown,
    );
    assert.equal(code, 8); // RESOURCE_EXHAUSTED
    assert.deepEqual(mountsBelow(node.kubeletDir), []);
    assert.deepEqual(readdirSync(join(node.stateDir, 'late')), []);
  }
});

test('a volume of many large files is mounted within seconds, and its room is taken', async () => {
  await using node = await testNode([registry.host]);
  const sample = await pushSizes(...shards(64 * mib));
  await using daemon = await startDaemon(node);
  const begun = performance.now();
  const request = await publish(daemon, sample);
  assert.ok(performance.now() - begun < 10_000);
  const [key = ''] = readdirSync(join(node.stateDir, 'late'));
  for (const at of [0, 29]) {
    assert.equal(statSync(join(request.target_path, `shard-${at}`)).size, 64 * mib);
    assert.ok(statSync(join(node.stateDir, 'late', key, String(at))).blocks * 512 >= 64 * mib);
  }
  await unpublish(daemon, request);
});

test('large files that are here already are shown from the start, and neither copied nor fetched again', async () => {
  await using node = await testNode([registry.host]);
  const size = 2 * mib + 77;
  const shared = { name: 'shard-0', bytes: randomBytes(size) };
  const own = { name: 'shard-1', bytes: randomBytes(size) };
  const { reference: before } = await registry.push('versions', 'v1', [shared]);
  const { reference } = await registry.push('versions', 'v2', [shared, own]);
  const [blob, late] = [sha256(shared.bytes), sha256(own.bytes)];
  const blobFile = join(node.stateDir, 'blobs/sha256', blob.slice('sha256:'.length));
  await using daemon = await startDaemon(node, patience);
  await daemon.csi.NodePublishVolume(await publishRequest(node, { reference: before }));
  const { ino, mtimeNs } = statSync(blobFile, { bigint: true });
  const sent = registry.sent(`/blobs/${blob}`);
  registry.fault(({ path }) => (path.endsWith(late) ? { kind: 'stall', after: mib } : undefined));
  const { target_path } = await publish(daemon, { reference, digests: {} });
  assert.equal(await read(join(target_path, 'shard-0')), blob);
  assert.notEqual((await volumeOf(daemon, target_path)).loading, null);
  const [key = ''] = readdirSync(join(node.stateDir, 'late'));
  const files = readdirSync(join(node.stateDir, 'late', key)).map(name =>
    join(node.stateDir, 'late', key, name),
  );
  assert.ok(files.some(path => statSync(path, { bigint: true }).ino === ino));
  assert.equal(statSync(blobFile, { bigint: true }).mtimeNs, mtimeNs, 'nothing wrote to the blob');
  assert.equal(registry.sent(`/blobs/${blob}`), sent);
  heal();
  await waitFor('the other one comes', async () => (await read(join(target_path, 'shard-1'))) === late);
  await waitFor('all of it is here', () => isComplete(daemon, target_path));
});

test('what is small, or here already, is an ordinary volume', async () => {
  await using node = await testNode([registry.host]);
  const small = await push(1000);
  const large = await push(2 * mib);
  await using daemon = await startDaemon(node);
  await daemon.csi.NodePublishVolume(await publishRequest(node, { reference: large.reference }));
  for (const sample of [small, large]) {
    const { target_path } = await publish(daemon, sample);
    assert.equal((await volumeOf(daemon, target_path)).loading, null);
    assert.equal(await read(join(target_path, first)), sample.digests[first]);
  }
});

test('a node that cannot load on demand, or must not, loads all of it first, and says why', async () => {
  const cases = [
    { views: 'trees', flags: {}, why: /mounts EROFS from block devices only/ },
    { views: undefined, flags: { '--on-demand': 'off' }, why: /--on-demand is off/ },
  ] as const;
  for (const { views, flags, why } of cases) {
    await using node = await testNode([registry.host], { views });
    const sample = await push(2 * mib);
    await using daemon = await startDaemon(node, { flags });
    const { target_path } = await publish(daemon, sample);
    assert.equal((await volumeOf(daemon, target_path)).loading, null);
    assert.equal(await read(join(target_path, first)), sample.digests[first]);
    const [ready, metrics] = await Promise.all(
      ['/readyz', '/metrics'].map(async path => (await fetch(daemon.http + path)).text()),
    );
    assert.match(/^loading on demand: off .*$/m.exec(ready ?? '')?.[0] ?? '', why);
    assert.match(/^oci_artifact_csi_on_demand\{.*\} 0$/m.exec(metrics ?? '')?.[0] ?? '', why);
  }
});
