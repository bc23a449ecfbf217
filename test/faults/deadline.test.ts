import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { credentials } from '@grpc/grpc-js';
import { loadDefinitions } from '../../src/grpc/edge/definitions.ts';
import { partialName } from '../../src/store/blobs/ingest.ts';
import { waitUntil } from '../support/node/child.ts';
import {
  publishRequest,
  startDaemon,
  type TestDaemon,
  type TestNode,
  testNode,
} from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { recordedTargets, shownOf, verifyGone, verifyVolume } from '../support/node/volume.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../support/registry/faulty-registry.ts';

const MiB = 1024 * 1024;

let registry: FaultyRegistry;
let node: TestNode;
let daemon: TestDaemon;

before(async () => {
  registry = await openFaultyRegistry();
});
after(async () => {
  await registry?.[Symbol.asyncDispose]();
});
beforeEach(async () => {
  node = await testNode([registry.host]);
  mkdirSync(join(node.kubeletDir, 'plugins_registry'));
  daemon = await start();
});
afterEach(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await node?.[Symbol.asyncDispose]();
});

const start = (): Promise<TestDaemon> =>
  startDaemon(node, { flags: { '--register': 'true', '--driver-name': 'oac.test' } });

let pushed = 0;

/** An artifact of 8 MiB that takes `seconds` to come, and a volume of it. */
async function slowVolume(seconds: number) {
  const bytes = randomBytes(8 * MiB);
  const { reference, layers } = await registry.push(`slow-${++pushed}`, 'v1', [{ name: 'model', bytes }]);
  const layer = layers[0] ?? assert.fail();
  const { digest } = layer;
  const fault = { kind: 'slow', bytesPerSecond: bytes.length / seconds } as const;
  registry.fault(({ path }) => (path.endsWith(digest) ? fault : undefined));
  const request = await publishRequest(node, { reference });
  const asked = () => registry.asked.filter(({ method, path }) => method === 'GET' && path.endsWith(digest));
  const partial = join(node.stateDir, 'ingest', partialName(layer, registry.host));
  return { request, shown: shownOf([['model', bytes]]), asked, partial };
}

/** Calls without a deadline of the test's own, which can be cancelled. */
function publishAndCancel(request: Awaited<ReturnType<typeof publishRequest>>) {
  const client = new (loadDefinitions().csi.v1.Node)(`unix:${node.socket}`, credentials.createInsecure());
  const { promise, resolve } = Promise.withResolvers<void>();
  const call = client.NodePublishVolume(request, () => {
    client.close();
    resolve();
  });
  return { cancel: () => call.cancel(), ended: promise };
}

describe('a pull that outlasts its call', () => {
  test('returns ABORTED with its progress before the deadline, and the next calls join it', async () => {
    const { request, shown, asked } = await slowVolume(5);
    const pulled: number[] = [];
    for (const deadlineMs of [2000, 2000]) {
      const call = daemon.csi.NodePublishVolume(request, { deadline: Date.now() + deadlineMs });
      const { code, text, ms } = await outcomeOf(call);
      assert.equal(code, 'ABORTED', text);
      assert.ok(ms > deadlineMs / 2 && ms < deadlineMs, `${ms} ms of ${deadlineMs}`);
      const progress = /pulled (\d\.\d) MiB of 8\.0 MiB, 0 of 1 layers; it goes on/.exec(text);
      assert.ok(progress, text);
      pulled.push(Number(progress[1]));
      verifyGone(request.target_path);
    }
    assert.ok((pulled[0] ?? 0) > 0.8 && (pulled[1] ?? 0) > (pulled[0] ?? 0), pulled.join());
    await daemon.csi.NodePublishVolume(request);
    verifyVolume(request.target_path, shown);
    assert.equal(asked().length, 1);
  });

  test('mounts nothing after its calls were answered', async () => {
    const { request, shown, asked } = await slowVolume(2);
    const { code } = await outcomeOf(daemon.csi.NodePublishVolume(request, { deadline: Date.now() + 800 }));
    assert.equal(code, 'ABORTED');
    await waitUntil(
      daemon,
      async () => (await daemon.artifacts.List({})).artifacts.length > 0 || viewCount() > 0,
      'pulled',
    );
    verifyGone(request.target_path);
    assert.deepEqual(recordedTargets(node.stateDir), []);
    await daemon.csi.NodePublishVolume(request);
    verifyVolume(request.target_path, shown);
    assert.equal(asked().length, 1);
  });

  test('continues when its caller cancels, for a caller that returns', async () => {
    const { request, shown, asked } = await slowVolume(2);
    const { cancel, ended } = publishAndCancel(request);
    await waitUntil(daemon, () => asked().length === 1, 'downloading');
    await sleep(200);
    cancel();
    await ended;
    await waitUntil(daemon, () => /"code":"CANCELLED".*the caller went away/.test(daemon.output()), 'told');
    verifyGone(request.target_path);
    await daemon.csi.NodePublishVolume(request);
    verifyVolume(request.target_path, shown);
    assert.equal(asked().length, 1);
  });

  test('is shared: two pods wait for one download', async () => {
    const { request, shown, asked } = await slowVolume(2);
    const reference = request.volume_context?.['reference'] ?? '';
    const other = await publishRequest(node, { reference });
    const { cancel, ended } = publishAndCancel(request);
    const waiting = daemon.csi.NodePublishVolume(other);
    await waitUntil(daemon, () => asked().length === 1, 'downloading');
    cancel();
    await ended;
    await waiting;
    verifyVolume(other.target_path, shown);
    assert.equal(asked().length, 1);
  });
});

const viewCount = (): number => readdirSync(join(node.stateDir, 'views')).length;

/** Ends the daemon as kubelet does. Answers how long it took, ms. */
async function stop(): Promise<number> {
  const begin = performance.now();
  assert.equal(await daemon.end('SIGTERM'), 0, daemon.output());
  assert.ok(!existsSync(node.socket), 'the CSI socket is gone');
  assert.deepEqual(readdirSync(join(node.kubeletDir, 'plugins_registry')), []);
  return performance.now() - begin;
}

describe('SIGTERM', () => {
  test('during a pull ends the call, and the next start continues where it stopped', async t => {
    const { request, shown, asked, partial } = await slowVolume(20);
    const call = outcomeOf(daemon.csi.NodePublishVolume(request));
    await waitUntil(daemon, () => existsSync(partial) && statSync(partial).size >= MiB, 'downloading');
    const ms = await stop();
    const { code, text } = await call;
    assert.deepEqual([code, /stopping/.test(text)], ['UNAVAILABLE', true], text);
    assert.ok(ms < 10_000, `${ms} ms`);
    const { size } = statSync(partial);
    t.diagnostic(`stopped in ${ms.toFixed(0)} ms with ${(size / MiB).toFixed(1)} of 8 MiB`);
    verifyGone(request.target_path);
    await daemon[Symbol.asyncDispose]();

    registry.fault(() => undefined);
    daemon = await start();
    await daemon.csi.NodePublishVolume(request);
    verifyVolume(request.target_path, shown);
    assert.deepEqual(
      asked().map(({ headers }) => headers.range),
      [undefined, `bytes=${size}-`],
    );
  });

  test('without calls ends the daemon at once; mounts stay, and are found again without the network', async t => {
    const { request, shown } = await slowVolume(0.1);
    await daemon.csi.NodePublishVolume(request);
    const ms = await stop();
    t.diagnostic(`stopped in ${ms.toFixed(0)} ms`);
    assert.ok(ms < 2000, `${ms} ms`);
    await daemon[Symbol.asyncDispose]();
    verifyVolume(request.target_path, shown);

    const before = registry.asked.length;
    daemon = await start();
    await daemon.csi.NodePublishVolume(request);
    verifyVolume(request.target_path, shown);
    assert.equal(registry.asked.length, before, 'the registry is not asked');
    const stats = await daemon.csi.NodeGetVolumeStats({ ...request, volume_path: request.target_path });
    assert.match(JSON.stringify(stats.usage), new RegExp(`"total":${8 * MiB},.*"BYTES"`));
    await daemon.csi.NodeUnpublishVolume(request);
    verifyGone(request.target_path);
  });

  test('does not wait for a connection attempt that hangs', async () => {
    const met = Promise.withResolvers<void>();
    const silent = createServer(() => met.resolve()).listen(0, '127.0.0.1'); // says nothing to TLS
    try {
      await once(silent, 'listening');
      const { port } = silent.address() as AddressInfo;
      const request = await publishRequest(node, { reference: `127.0.0.1:${port}/model:v1` });
      const call = outcomeOf(daemon.csi.NodePublishVolume(request));
      await met.promise;
      const ms = await stop();
      assert.ok(ms < 6000, `${ms} ms`);
      assert.equal((await call).code, 'UNAVAILABLE');
    } finally {
      silent.close();
    }
  });

  test('lets a nearly finished call finish', async () => {
    const { request, shown } = await slowVolume(1);
    const call = daemon.csi.NodePublishVolume(request);
    await sleep(200);
    await stop();
    await call;
    verifyVolume(request.target_path, shown);
    assert.equal(readFileSync(join(node.stateDir, 'lock'), 'utf8'), '', 'it names no holder any more');
  });
});
