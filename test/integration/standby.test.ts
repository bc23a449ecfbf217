import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { lstatSync, readdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, credentials } from '@grpc/grpc-js';
import { exitCodes } from '../../src/cli/exit.ts';
import { loadDefinitions } from '../../src/grpc/edge/definitions.ts';
import { registrationPath } from '../../src/grpc/registration.ts';
import { takeLock } from '../../src/store/lock.ts';
import { openCalls } from '../support/node/calls.ts';
import { waitUntil } from '../support/node/child.ts';
import { answerOf } from '../support/node/csi-edge.ts';
import {
  publishRequest,
  spawnDaemon,
  startDaemon,
  type TestDaemon,
  type TestNode,
  testNode,
} from '../support/node/daemon.ts';
import { type Outcome, outcomeOf } from '../support/node/outcome.ts';
import {
  driverName,
  makePluginDirectory,
  registeringFlags,
  startRegistering,
  startStandby,
} from '../support/node/registering.ts';
import { shownOf, verifyVolume } from '../support/node/volume.ts';
import { ownAddress } from '../support/os/port.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';

const bytes = randomBytes(3000);
/** kubelet calls again after these, and keeps the volume. */
const again: readonly string[] = ['ABORTED', 'UNAVAILABLE'];

async function openNode(registries: readonly string[] = []): Promise<TestNode> {
  const node = await testNode(registries);
  await makePluginDirectory(node);
  return node;
}

async function read({ http }: TestDaemon, path: string): Promise<string> {
  const answer = await fetch(`${http}${path}`);
  return `${answer.status} ${await answer.text()}`;
}

async function isServing(daemon: TestDaemon): Promise<boolean> {
  return (await read(daemon, '/readyz')).startsWith('200 ready');
}

/** One call on a connection of its own, as kubelet makes it. */
async function publish(
  node: TestNode,
  request: Awaited<ReturnType<typeof publishRequest>>,
): Promise<Outcome> {
  const client = new Client(`unix:${node.socket}`, credentials.createInsecure());
  try {
    return await outcomeOf(
      openCalls(client, loadDefinitions().csi.v1.Node.service).NodePublishVolume(request),
    );
  } finally {
    client.close();
  }
}

/** Calls as kubelet does when it finds the socket: it asks what the plugin is, and confirms. */
async function register(node: TestNode): Promise<void> {
  const { Registration } = loadDefinitions().pluginregistration;
  const path = registrationPath(node.kubeletDir, driverName);
  const client = new Registration(`unix:${path}`, credentials.createInsecure());
  await answerOf(done => client.GetInfo({}, done));
  await answerOf(done => client.NotifyRegistrationStatus({ plugin_registered: true }, done));
  client.close();
}

const linkOf = ({ kubeletDir }: TestNode): number => lstatSync(registrationPath(kubeletDir, driverName)).ino;

/** Connects to a socket again and again, and returns the times of the attempts that failed, ms. */
function probe(path: string): { stop(): Promise<{ readonly attempts: number; readonly failed: number[] }> } {
  const stopping = new AbortController();
  const failed: number[] = [];
  const once = (): Promise<boolean> =>
    new Promise(resolve => {
      const socket = connect(path);
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
  const run = (async () => {
    let attempts = 0;
    for (; !stopping.signal.aborted; attempts++) {
      const at = performance.now();
      if (!(await once())) failed.push(at);
      await sleep(1);
    }
    return attempts;
  })();
  return {
    async stop() {
      stopping.abort();
      return { attempts: await run, failed };
    },
  };
}

/** All that a state directory holds, to the nanosecond of its last change; the holder itself touches the lock. */
function snapshot(path: string): readonly string[] {
  const { mode, ino, size, mtimeNs } = lstatSync(path, { bigint: true });
  const isDirectory = lstatSync(path).isDirectory();
  return [
    [path, mode, ino, size, path.endsWith('/lock') ? '' : mtimeNs].join(' '),
    ...(isDirectory ? readdirSync(path).flatMap(name => snapshot(join(path, name))) : []),
  ];
}

test('a standby takes over while pods start: no connection is refused, and no pull is lost', async t => {
  await using registry = await openFaultyRegistry();
  await using node = await openNode([registry.host]);
  const pushed = await registry.push('team/model', 'v1', [{ name: 'weights', bytes }]);
  const large = randomBytes(3_000_000);
  const slow = await registry.push('team/slow', 'v1', [{ name: 'weights', bytes: large }]);
  await using first = await startRegistering(node);
  await register(node);
  const before = snapshot(node.stateDir);
  await using second = await startStandby(node);

  const waits = `standby: waits for process ${first.pid} on `;
  assert.ok(second.output().includes(waits), second.output());
  assert.match(
    await read(second, '/readyz'),
    new RegExp(`^200 ${waits}\\S+ since \\S+ to end, which has \\S+\n$`),
  );
  assert.equal(await read(second, '/healthz'), '200 ok\n');
  const metrics = await read(second, '/metrics');
  assert.match(metrics, /^oci_artifact_csi_standby 1$/m);
  assert.doesNotMatch(metrics, /oci_artifact_csi_disk_size_bytes/, 'there are no figures of a node');
  assert.match(await read(first, '/metrics'), /^oci_artifact_csi_standby 0$/m);
  assert.deepEqual(snapshot(node.stateDir), before, 'a standby writes nothing');
  assert.equal(await isServing(first), true);

  registry.fault(({ path }) =>
    path.includes('/team/slow/blobs/') ? { kind: 'slow', bytesPerSecond: 1_000_000 } : undefined,
  );
  const waiting = await publishRequest(node, { reference: slow.reference });
  const interrupted = publish(node, waiting);
  const blob = createHash('sha256').update(large).digest('hex');
  await waitUntil(first, () => registry.sent(blob) > 500_000, 'downloading');
  const registered = linkOf(node);
  const connections = probe(node.socket);
  const outcomes: Outcome[] = [];
  const targets: string[] = [];
  const over = new AbortController();
  const publishing = Array.from({ length: 3 }, async () => {
    while (!over.signal.aborted) {
      const request = await publishRequest(node, { reference: pushed.reference });
      let outcome: Outcome;
      do {
        outcome = await publish(node, request);
        outcomes.push(outcome);
      } while (again.includes(outcome.code)); // as kubelet does
      targets.push(request.target_path);
    }
  });
  await sleep(200);
  const ending = first.end('SIGTERM');
  const started = performance.now();
  await waitUntil(second, () => isServing(second), 'serving');
  const tookMs = performance.now() - started;
  assert.equal(await ending, 0, first.output());
  await sleep(300);
  over.abort();
  await Promise.all(publishing);
  const { attempts, failed } = await connections.stop();
  const slowest = Math.max(...outcomes.map(({ ms }) => ms));
  t.diagnostic(
    `${attempts} connections, ${failed.length} refused; ${outcomes.length} publishes, slowest ${Math.round(slowest)} ms; ready after ${Math.round(tookMs)} ms`,
  );

  assert.deepEqual(failed, []);
  const { code, text } = await interrupted;
  assert.equal(code, 'ABORTED');
  assert.match(text, /^a new daemon takes over; it keeps what was downloaded, and continues/);
  assert.deepEqual(
    outcomes.filter(outcome => ![...again, 'OK'].includes(outcome.code)),
    [],
  );
  for (const target of targets) verifyVolume(target, shownOf([['weights', bytes]]));
  const { volumes } = await second.artifacts.ListVolumes({});
  assert.equal(volumes.length, targets.length);
  const kept = () => second.output().includes('kubelet has registered the driver, and keeps it');
  await waitUntil(second, kept, 'registered');
  assert.equal(linkOf(node), registered, 'kubelet sees no new socket, and does not deregister the driver');
  assert.equal((await second.artifacts.GetStatus({})).registration, 'REGISTERED');
  await register(node); // a kubelet that starts finds it
  registry.reset();
  assert.equal((await publish(node, waiting)).code, 'OK');
  assert.ok(
    registry.asked.some(({ headers }) => /^bytes=[1-9]/.test(headers['range'] ?? '')),
    'the download continues where it was interrupted',
  );
  assert.equal(await second.end('SIGTERM'), 0);
  assert.deepEqual(readdirSync(dirname(registrationPath(node.kubeletDir, driverName))), []);
});

test('of two standbys one takes over within a second after a kill, and the other waits for that one', async t => {
  await using node = await openNode();
  await using first = await startRegistering(node);
  await using second = await startStandby(node);
  await using third = await startStandby(node);
  const unregistered = linkOf(node);
  const connections = probe(node.socket);
  const killed = performance.now();
  await first.end('SIGKILL');
  const serving = async (): Promise<TestDaemon | undefined> =>
    (await isServing(second)) ? second : (await isServing(third)) ? third : undefined;
  await waitUntil(second, async () => (await serving()) !== undefined, 'serving');
  const { attempts, failed } = await connections.stop();
  const gap = failed.length === 0 ? 0 : (failed.at(-1) ?? 0) - killed;
  t.diagnostic(`${failed.length} of ${attempts} connections refused, for ${Math.round(gap)} ms`);
  assert.ok(gap < 1000, `${gap} ms`);
  const winner = (await serving()) ?? first;
  const isAnnounced = (): boolean => linkOf(node) !== unregistered;
  await waitUntil(winner, isAnnounced, 'announced to kubelet, which had not registered the first');
  const other = winner === second ? third : second;
  assert.match(await read(other, '/readyz'), new RegExp(`^200 standby: waits for process ${winner.pid} on `));
  assert.equal(await winner.end('SIGTERM'), 0);
  await waitUntil(other, () => isServing(other), 'serving');
  assert.ok(lstatSync(node.socket).isSocket());
});

test('a standby that is stopped ends at once, and leaves the sockets alone', async () => {
  await using node = await openNode();
  await using first = await startRegistering(node);
  await using second = await startStandby(node);
  const sockets = [node.socket, registrationPath(node.kubeletDir, driverName)];
  const before = sockets.map(path => lstatSync(path).ino);
  const started = performance.now();
  assert.equal(await second.end('SIGTERM'), 0, second.output());
  assert.ok(performance.now() - started < 2000);
  assert.deepEqual(
    sockets.map(path => lstatSync(path).ino),
    before,
  );
  assert.equal(await isServing(first), true);
  assert.equal(await first.end('SIGTERM'), 0);
  assert.deepEqual(
    sockets.map(path => lstatSync(path, { throwIfNoEntry: false })),
    [undefined, undefined],
  );
});

test('a standby refuses the layout of a newer program while its predecessor serves', async () => {
  await using node = await openNode();
  await using first = await startRegistering(node);
  writeFileSync(join(node.stateDir, 'format'), '2\n');
  await using second = await spawnDaemon(node, { flags: registeringFlags });
  await waitUntil(second, () => !second.alive(), 'refused').catch(() => {});
  assert.equal(await second.end('SIGKILL'), exitCodes.invalid);
  assert.match(second.output(), /has layout version 2, and this program knows up to 1: run a newer one/);
  assert.equal(await isServing(first), true);
});

test('a layout that became newer while a standby waited is refused when it takes over', async () => {
  await using node = await openNode();
  await using first = await startRegistering(node);
  await using second = await startStandby(node);
  writeFileSync(join(node.stateDir, 'format'), '2\n');
  assert.equal(await first.end('SIGTERM'), 0);
  await waitUntil(second, () => !second.alive(), 'refused').catch(() => {});
  assert.equal(await second.end('SIGKILL'), exitCodes.invalid);
  assert.match(second.output(), /has layout version 2/);
});

test('on the network of the host, a standby serves HTTP when its predecessor has ended', async () => {
  await using node = await openNode();
  const shared = `${ownAddress()}:20009`;
  await using first = await startDaemon(node, { flags: { ...registeringFlags, '--http-listen': shared } });
  await using second = await startStandby(node, { '--http-listen': shared });
  const serving = () => second.output().includes('serving /healthz');
  assert.equal(serving(), false);
  assert.equal(await first.end('SIGTERM'), 0);
  await waitUntil(second, serving, 'serving HTTP');
  // The address is free a moment before the state.
  const metrics = async (): Promise<string> => (await fetch(`http://${shared}/metrics`)).text();
  const isServer = async (): Promise<boolean> => /^oci_artifact_csi_standby 0$/m.test(await metrics());
  await waitUntil(second, isServer, 'a standby no more');
});

test('a standby waits for a daemon with another state directory, and for a command', async () => {
  await using node = await openNode();
  await using first = await startRegistering(node);
  await using second = await startStandby({ ...node, stateDir: join(node.path, 'other') });
  const silent = `200 standby: waits for the server that answers on ${node.socket} to end\n`;
  assert.equal(await read(second, '/readyz'), silent);
  assert.equal(await first.end('SIGTERM'), 0);
  await waitUntil(second, () => isServing(second), 'serving');
  assert.equal(await second.end('SIGTERM'), 0);

  const command = await takeLock(node.stateDir);
  await using third = await startStandby(node);
  assert.match(
    await read(third, '/readyz'),
    new RegExp(`^200 standby: waits for process ${process.pid} on `),
  );
  await command[Symbol.asyncDispose]();
  await waitUntil(third, () => isServing(third), 'serving');
});

test('a standby whose configuration would refuse volumes is not ready until it is right', async () => {
  await using node = await openNode();
  await using first = await startRegistering(node);
  const policy = join(node.path, 'policy.json');
  const access = join(node.path, 'access.yaml');
  writeFileSync(policy, '{');
  writeFileSync(access, 'rules: 1');
  await using second = await startStandby(node, { '--policy': policy, '--access-policy': access });
  const broken = await read(second, '/readyz');
  assert.match(broken, /^503 not ready: /);
  for (const path of [policy, access]) assert.ok(broken.includes(path), broken);
  const errors = second
    .output()
    .split('\n')
    .filter(line => line.includes('"level":"error"'));
  assert.ok(
    errors.some(line => line.includes(policy)),
    second.output(),
  );
  writeFileSync(policy, '{"default":[{"type":"insecureAcceptAnything"}]}');
  writeFileSync(access, 'default: allow\nrules: []\n');
  await waitUntil(second, async () => (await read(second, '/readyz')).startsWith('200 standby: '), 'ready');
  assert.equal(await first.end('SIGTERM'), 0);
});
