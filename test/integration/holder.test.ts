import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { losesDevice, lost } from '../support/late/lost-device.ts';
import { watchConnections } from '../support/late/watchdog.ts';
import { type Child, startChild, waitUntil } from '../support/node/child.ts';
import {
  publishRequest,
  spawnDaemon,
  startDaemon,
  type TestDaemon,
  type TestNode,
  testNode,
} from '../support/node/daemon.ts';
import { main } from '../support/node/main.ts';
import { sha256 } from '../support/oci/tar.ts';
import { mountsBelow, unmountBelow } from '../support/os/mounts.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';

const registry = await openFaultyRegistry();
after(() => registry[Symbol.asyncDispose]());
const mib = 1024 * 1024;
const heal = (): void => registry.fault(() => undefined);
let pushed = 0;

/** Pushes an artifact of two large files. The registry lacks the second one until it heals. */
async function push() {
  const files = ['shard-0', 'shard-1'].map(name => ({ name, bytes: randomBytes(2 * mib + 77) }));
  const { reference } = await registry.push(`holder-${pushed++}`, 'v1', files);
  const [first = '', second = ''] = files.map(({ bytes }) => sha256(bytes));
  registry.fault(({ path }) => (path.endsWith(second) ? { kind: 'stall', after: mib } : undefined));
  return { reference, first, second };
}

const socketOf = (node: TestNode): string => join(node.path, 'hold.sock');

/** Starts one as the chart does: as root, and without any capability. */
async function startHolder(node: TestNode, ...args: readonly string[]): Promise<Child> {
  const command = [process.execPath, main, 'hold', `--listen=unix://${socketOf(node)}`, ...args];
  const holder = await startChild('setpriv', ['--bounding-set=-all', '--no-new-privs', ...command]);
  await waitUntil(holder, () => holder.output().includes('listening'), 'listening');
  assert.match(readFileSync(`/proc/${holder.pid}/status`, 'utf8'), /^CapEff:\t0+$/m);
  return holder;
}

const flagsOf = (node: TestNode) => ({
  '--holder': `unix://${socketOf(node)}`,
  '--on-demand-patience': '40s',
});
const start = (node: TestNode): Promise<TestDaemon> => startDaemon(node, { flags: flagsOf(node) });

async function publish(daemon: TestDaemon, { reference }: { readonly reference: string }) {
  const request = await publishRequest(daemon.node, { reference, loading: 'onDemand' });
  await daemon.csi.NodePublishVolume(request);
  return request;
}

/** Reads in a process of its own: the digest, or the error. */
function read(path: string): {
  readonly found: Promise<string>;
  readonly isOver: () => boolean;
  kill(): void;
} {
  let isOver = false;
  const { promise, resolve } = Promise.withResolvers<string>();
  const reader = execFile(
    'sha256sum',
    [path],
    { timeout: 90_000, killSignal: 'SIGKILL' },
    (error, stdout, stderr) => {
      isOver = true;
      resolve(error === null ? `sha256:${stdout.split(' ')[0]}` : error.killed ? 'killed' : stderr.trim());
    },
  );
  return { found: promise, isOver: () => isOver, kill: () => void reader.kill('SIGKILL') };
}

async function until(what: string, is: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 40_000;
  while (!(await is())) {
    assert.ok(Date.now() < end, what);
    await sleep(20);
  }
}

async function waiting(daemon: TestDaemon): Promise<number> {
  const { volumes } = await daemon.artifacts.ListVolumes({});
  return volumes.reduce((sum, { loading }) => sum + (loading?.waiting_reads ?? 0), 0);
}

const untilKept = (holder: Child, daemons: number): Promise<void> =>
  until('kept', () => (holder.output().match(/keeps/g)?.length ?? 0) >= daemons);

const page = async ({ http }: TestDaemon, path: string): Promise<string> => (await fetch(http + path)).text();

test('with a holder, reads wait while the daemon is killed and replaced, and get right bytes', async () => {
  await using _watch = await watchConnections(120_000);
  await using node = await testNode([registry.host]);
  await using holder = await startHolder(node);
  const sample = await push();
  let target = '';
  let reading: ReturnType<typeof read> | undefined;
  {
    await using daemon = await start(node);
    target = (await publish(daemon, sample)).target_path;
    await untilKept(holder, 1);
    assert.equal(await read(join(target, 'shard-0')).found, sample.first);
    reading = read(join(target, 'shard-1'));
    await until('it waits', async () => (await waiting(daemon)) > 0);
  }
  const later = read(join(target, 'shard-1'));
  await sleep(500);
  assert.ok(!reading.isOver() && !later.isOver(), 'they wait');
  assert.equal(await read(join(target, 'shard-0')).found, sample.first);
  {
    await using daemon = await start(node); // which is killed while its registry says nothing
    await until('they wait for it', async () => (await waiting(daemon)) > 0);
  }
  assert.ok(!reading.isOver() && !later.isOver(), 'they still wait');
  heal();
  await using daemon = await start(node);
  assert.equal(await reading.found, sample.second);
  assert.equal(await later.found, sample.second);
  const [ready, metrics] = [await page(daemon, '/readyz'), await page(daemon, '/metrics')];
  assert.match(ready, /^loading on demand: on; reads wait while no daemon runs$/m);
  assert.match(metrics, /^oci_artifact_csi_on_demand_failed_reads_total 0$/m);
  assert.match(metrics, /^oci_artifact_csi_on_demand_holder\{reason=""\} 1$/m);
  const another = await publish(daemon, await push()); // by the same connection
  heal();
  await until('another', async () =>
    (await read(join(another.target_path, 'shard-1')).found).startsWith('sha256:'),
  );
  assert.doesNotMatch(holder.output(), /fail/);
});

for (const [how, flags] of [
  ['stopped and started again', {}],
  ['replaced by a standby', { '--register': 'true', '--driver-name': 'oci-artifact.csi.test' }],
] as const)
  test(`with a holder, no read fails while the daemon is ${how}`, async () => {
    await using _watch = await watchConnections(120_000);
    await using node = await testNode([registry.host]);
    mkdirSync(join(node.kubeletDir, 'plugins_registry')); // of kubelet
    await using holder = await startHolder(node);
    const sample = await push();
    const options = { flags: { ...flagsOf(node), ...flags } };
    await using first = await startDaemon(node, options);
    const { target_path: target } = await publish(first, sample);
    await untilKept(holder, 1);
    const reading = read(join(target, 'shard-1'));
    await until('it waits', async () => (await waiting(first)) > 0);
    const standby = how === 'replaced by a standby' ? await spawnDaemon(node, options) : undefined;
    if (standby !== undefined)
      await waitUntil(standby, () => /standby: waits for /.test(standby.output()), 'a standby');
    assert.equal(await first.end('SIGTERM'), 0);
    const later = read(join(target, 'shard-1'));
    await using next = standby ?? (await startDaemon(node, options));
    await until('they wait for it', async () => (await waiting(next).catch(() => 0)) > 0);
    assert.ok(!reading.isOver() && !later.isOver());
    heal();
    assert.equal(await reading.found, sample.second);
    assert.equal(await later.found, sample.second);
    assert.match(await page(next, '/metrics'), /^oci_artifact_csi_on_demand_failed_reads_total 0$/m);
  });

test('a holder that is killed costs nothing, and the next one keeps what the daemon has', async () => {
  await using _watch = await watchConnections(120_000);
  await using node = await testNode([registry.host]);
  const sample = await push();
  await using daemon = await start(node);
  assert.match(
    await page(daemon, '/readyz'),
    /^ready, but: the holder at .* is not reached: it is not running \(ENOENT\)/m,
  );
  assert.match(
    await page(daemon, '/metrics'),
    /^oci_artifact_csi_on_demand_holder\{reason=".*ENOENT.*"\} 0$/m,
  );
  const { target_path: target } = await publish(daemon, sample);
  {
    await using holder = await startHolder(node);
    await untilKept(holder, 1);
  }
  const reading = read(join(target, 'shard-1'));
  await until('it waits', async () => (await waiting(daemon)) > 0);
  await until('lost', async () => /is not reached/.test(await page(daemon, '/readyz')));
  assert.equal(await read(join(target, 'shard-0')).found, sample.first);
  await using holder = await startHolder(node);
  await untilKept(holder, 1);
  await until('reached', async () => !/is not reached/.test(await page(daemon, '/readyz')));
  assert.ok(!reading.isOver());
  await daemon.end('SIGKILL');
  await sleep(500);
  assert.ok(!reading.isOver());
  await holder.end('SIGKILL'); // and now nobody is there
  assert.match(await reading.found, /Input\/output error/);
  assert.equal(await read(join(target, 'shard-0')).found, sample.first);
  heal();
  await using _next = await start(node);
  await until('it heals', async () => (await read(join(target, 'shard-1')).found) === sample.second);
});

test('a read waits no longer than the patience of the holder when no daemon comes', async () => {
  await using node = await testNode([registry.host]);
  await using holder = await startHolder(node, '--patience=3s');
  const sample = await push();
  let target = '';
  let reading: ReturnType<typeof read> | undefined;
  {
    await using daemon = await start(node);
    target = (await publish(daemon, sample)).target_path;
    await untilKept(holder, 1);
    reading = read(join(target, 'shard-1'));
    await until('it waits', async () => (await waiting(daemon)) > 0);
  }
  assert.match(await reading.found, /Input\/output error/);
  await until('it says so', () =>
    /no daemon came within 3 s: reads of missing content fail/.test(holder.output()),
  );
  heal();
  await using _daemon = await start(node);
  await until('it heals', async () => (await read(join(target, 'shard-1')).found) === sample.second);
});

for (const [what, prepare] of [
  ['its image was unmounted by hand', (node: TestNode) => unmountBelow(join(node.kubeletDir, 'plugins'))],
  [
    'its pod is gone',
    (node: TestNode) => rmSync(join(node.kubeletDir, 'pods'), { recursive: true, force: true }),
  ],
  ['nothing else happened', () => {}],
] as const)
  test(`a volume whose reader was killed while no daemon was there ends in the next one, although ${what}`, async () => {
    await using _watch = await watchConnections(60_000);
    await using node = await testNode([registry.host]);
    await using holder = await startHolder(node);
    const sample = await push();
    let request: Awaited<ReturnType<typeof publish>> | undefined;
    {
      await using daemon = await start(node);
      request = await publish(daemon, sample);
      await untilKept(holder, 1);
      const reading = read(join(request.target_path, 'shard-1'));
      await until('it waits', async () => (await waiting(daemon)) > 0);
      await daemon.end('SIGKILL');
      const other = read(join(request.target_path, 'shard-1'));
      await sleep(300);
      for (const reader of [reading, other]) reader.kill();
      for (const reader of [reading, other]) await reader.found;
    }
    if (what === 'its pod is gone') unmountBelow(join(node.kubeletDir, 'pods'));
    prepare(node);
    await using daemon = await start(node);
    const { target_path, volume_id } = request;
    await daemon.csi.NodeUnpublishVolume({ volume_id, target_path });
    await until('it ends', () => mountsBelow(node.kubeletDir).length === 0);
    await until('nothing of it is left', () => readdirSync(join(node.stateDir, 'late')).length === 0);
    heal();
    assert.equal(await daemon.end('SIGTERM'), 0);
  });

test('a daemon that does not load on demand ends the reads that wait', async () => {
  await using node = await testNode([registry.host]);
  await using holder = await startHolder(node);
  const sample = await push();
  let reading: ReturnType<typeof read> | undefined;
  {
    await using daemon = await start(node);
    const { target_path } = await publish(daemon, sample);
    await untilKept(holder, 1);
    reading = read(join(target_path, 'shard-1'));
    await until('it waits', async () => (await waiting(daemon)) > 0);
  }
  await using _daemon = await startDaemon(node, { flags: { ...flagsOf(node), '--on-demand': 'off' } });
  assert.match(await reading.found, /Input\/output error/);
  heal();
});

test('a second daemon with the holder of another one works without', async () => {
  await using node = await testNode([registry.host]);
  await using other = await testNode([registry.host]);
  await using holder = await startHolder(node);
  const sample = await push();
  const flags = { ...flagsOf(node), '--on-demand-patience': '6s' }; // half of it is silence
  await using first = await startDaemon(node, { flags });
  const { target_path: target } = await publish(first, sample);
  await untilKept(holder, 1);
  await using second = await startDaemon(other, { flags });
  assert.match(await page(second, '/readyz'), /^ready, but: the holder .*another daemon is connected to it/m);
  const { target_path: elsewhere } = await publish(second, sample);
  heal();
  for (const path of [target, elsewhere])
    await until('right', async () => (await read(join(path, 'shard-1')).found) === sample.second);
});

test('where the thread of the landings fails, no read waits, although there is a holder', async () => {
  await using _watch = await watchConnections(120_000);
  await using node = await testNode([registry.host]);
  await using holder = await startHolder(node);
  const sample = await push();
  await using daemon = await startDaemon(node, { flags: flagsOf(node), env: losesDevice });
  const path = join((await publish(daemon, sample)).target_path, 'shard-1');
  await untilKept(holder, 1);
  const reading = read(path);
  await until('it waits', async () => (await waiting(daemon)) > 0);
  process.kill(daemon.pid, 'SIGUSR2');
  await until('it is lost', () => daemon.output().includes(lost));
  const end = promisify(execFile)('tail', ['--bytes=10', path]); // the last request that the thread gets
  await assert.rejects(end, /Input\/output error/);
  assert.match(await reading.found, /Input\/output error/);
  assert.match(
    await page(daemon, '/readyz'),
    /^loading on demand: off \(the thread for missing bytes has failed/m,
  );
  await until('it keeps nothing', () => holder.output().includes('nothing is kept'));
  heal();
});
