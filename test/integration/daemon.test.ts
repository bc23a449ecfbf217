import assert from 'node:assert/strict';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { exitCodes } from '../../src/cli/exit.ts';
import { waitUntil } from '../support/node/child.ts';
import {
  publishRequest,
  spawnDaemon,
  startDaemon,
  type TestDaemon,
  testNode,
} from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { ready } from '../support/node/readiness.ts';
import { makePluginDirectory, startRegistering } from '../support/node/registering.ts';

/** Status and text of /readyz. /healthz has the same for probes that restart the process. */
async function readiness({ http }: TestDaemon): Promise<readonly [number, string]> {
  const answer = await fetch(`${http}/readyz`);
  assert.equal((await fetch(`${http}/healthz`)).status, answer.status);
  return [answer.status, await answer.text()];
}

async function verifyReady(daemon: TestDaemon): Promise<void> {
  const [status, text] = await readiness(daemon);
  assert.equal(status, 200);
  assert.match(text, ready);
}

/** What Probe answers; it needs a connection from before where the socket is gone. */
async function probe({ identity }: TestDaemon): Promise<boolean | undefined> {
  return (await identity.Probe({})).ready?.value;
}

test('SIGHUP changes nothing, and the log says so', async () => {
  await using node = await testNode();
  await using daemon = await startDaemon(node);
  process.kill(daemon.pid, 'SIGHUP');
  await waitUntil(daemon, () => daemon.output().includes('SIGHUP is ignored: '), 'told of SIGHUP');
  assert.equal(await probe(daemon), true);
  assert.equal(await daemon.end('SIGTERM'), 0);
});

test('a daemon whose sockets were removed or replaced reports it, and is not ready', async () => {
  await using node = await testNode();
  const registration = await makePluginDirectory(node);
  await using daemon = await startRegistering(node);
  await verifyReady(daemon);

  const lost = (path: string): string => `not ready: the socket ${path} is gone; restart the daemon\n`;
  await rename(registration, `${registration}.away`);
  assert.deepEqual(await readiness(daemon), [503, lost(registration)]);
  assert.equal(await probe(daemon), false);
  await rename(node.socket, registration);
  assert.deepEqual(await readiness(daemon), [503, `${lost(node.socket)}${lost(registration)}`]);
  await rename(registration, node.socket);
  await rename(`${registration}.away`, registration);
  await verifyReady(daemon);
  assert.equal(await daemon.end('SIGTERM'), 0);
});

test('a daemon whose state directory was emptied or replaced reports it, and is not ready', async () => {
  await using node = await testNode();
  await using daemon = await startDaemon(node);
  const lost = `not ready: the state directory ${node.stateDir} is gone; restart the daemon\n`;
  await rename(node.stateDir, `${node.stateDir}.away`);
  assert.deepEqual(await readiness(daemon), [503, lost]);
  const request = await publishRequest(node, { reference: '127.0.0.1:1/a:v1' });
  const { code, text } = await outcomeOf(daemon.csi.NodePublishVolume(request));
  assert.equal(code, 'UNAVAILABLE');
  assert.match(
    text,
    /^the state directory \S+ was moved or removed while the daemon runs: .* or restart the daemon$/,
  );
  await mkdir(join(node.stateDir, 'tmp'), { recursive: true });
  assert.deepEqual(await readiness(daemon), [503, lost]);
  await rm(node.stateDir, { recursive: true });
  await rename(`${node.stateDir}.away`, node.stateDir);
  await verifyReady(daemon);
  await rm(join(node.stateDir, 'lock'));
  assert.deepEqual(await readiness(daemon), [503, lost]);
  assert.equal(await probe(daemon), false);
});

test('a second daemon exits with the same code for each resource that the first one has', async () => {
  await using node = await testNode();
  await using first = await startDaemon(node);
  const apart = { ...node, socket: join(node.path, 'apart.sock'), stateDir: join(node.path, 'apart') };
  const port = { '--http-listen': new URL(first.http).host };
  const others = [
    await spawnDaemon({ ...apart, stateDir: node.stateDir }),
    await spawnDaemon({ ...apart, socket: node.socket }),
    await spawnDaemon({ ...apart, stateDir: join(node.path, 'third') }, { flags: port }),
  ];
  for (const other of others) {
    await using second = other;
    await waitUntil(second, () => !second.alive(), 'refused');
    assert.equal(await second.end('SIGTERM'), exitCodes.exists, second.output());
  }
});

test('a missing kubelet directory is one warning at start', async () => {
  await using node = await testNode();
  for (const there of [true, false]) {
    if (!there) await rm(node.kubeletDir, { recursive: true });
    await using daemon = await startDaemon(node);
    const warned = `${node.kubeletDir} does not exist, and no pod gets a volume until it does`;
    assert.equal(daemon.output().split(warned).length, there ? 1 : 2);
    assert.equal(await daemon.end('SIGTERM'), 0);
  }
});

test('a daemon that cannot register with kubelet says so and ends at once', async () => {
  await using node = await testNode();
  await using daemon = await spawnDaemon(node, { flags: { '--register': 'true' } });
  await waitUntil(daemon, () => !daemon.alive(), 'ended');
  assert.equal(await daemon.end('SIGTERM'), exitCodes.invalid);
  const last = daemon.output().trimEnd().split('\n').at(-1) ?? '';
  assert.match(last, /"level":"fatal".*there is no .*plugins_registry to register in; start kubelet/);
});
