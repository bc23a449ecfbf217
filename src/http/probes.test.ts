import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pagesWith } from '../../test/support/node/probe-pages.ts';
import { toDigest } from '../oci/digest.ts';
import type { Meter } from '../ports/meter.ts';
import type { VolumeStatus } from '../ports/usecases.ts';
import { resolving } from '../volume/pull/progress.ts';
import { createMetrics, type Metrics, type Observed } from './metrics.ts';
import { serveProbes } from './probes.ts';
import type { ObservedProcess } from './process-metrics.ts';

const loopback = { host: '127.0.0.1', port: 0 };
const digest = toDigest('sha256', 'a'.repeat(64));

const volume: VolumeStatus = {
  volumeId: 'csi-1',
  targetPath: '/t',
  fingerprint: '{}',
  anywhere: false,
  reference: 'demo/model',
  resolved: 'registry.example/demo/model:latest',
  digest,
  manifest: digest,
  view: 'v',
  bytes: 1,
  inodes: 1,
  pod: { namespace: 'ml', name: 'web-0', uid: 'u' },
  publishedAt: 0,
  mounted: true,
};

function observing(volumes: readonly VolumeStatus[]): Observed & ObservedProcess {
  return {
    cacheBytes: async () => 4096,
    disk: async () => ({
      totalBytes: 100,
      usedBytes: 60,
      availableBytes: 40,
      totalInodes: 10,
      usedInodes: 3,
    }),
    problems: () => ['registries.conf is broken'],
    pulls: async () => [{ since: 0, progress: resolving, wanters: [] }],
    prefetch: () => [],
    failing: () => [5, 14, 5],
    phase: () => 'open',
    droppedLines: () => 3,
    unhandledRejections: () => 2,
    isSealed: () => true,
    imagesOff: () => 'this kernel has no EROFS',
    origins: () => ({ held: 1, waiting: 0, without: 0 }),
    onDemand: () => ({
      loading: 0,
      stalled: 0,
      complete: 0,
      missingBytes: 0,
      waitingReads: 0,
      failedReads: 0,
      support: { kind: 'on' },
    }),
    volumes: async () => volumes,
  };
}

test('healthz fails where a restart helps, readyz says why it is not ready', async () => {
  let reasons: readonly string[] = ['the socket is not bound', 'kubelet has not called'];
  let broken: readonly string[] = [];
  await using server = await serveProbes(loopback, pagesWith({ broken: () => broken, ready: () => reasons }));
  const at = (path: string, init?: RequestInit): Promise<Response> =>
    fetch(`http://127.0.0.1:${server.port}${path}`, init);

  assert.equal((await at('/healthz')).status, 200);
  const waiting = await at('/readyz');
  assert.equal(waiting.status, 503);
  assert.equal(
    await waiting.text(),
    'not ready: the socket is not bound\nnot ready: kubelet has not called\n',
  );
  reasons = [];
  assert.equal((await at('/readyz?verbose')).status, 200);
  broken = ['the socket is gone'];
  const dead = await at('/healthz');
  assert.deepEqual([dead.status, await dead.text()], [503, 'the socket is gone\n']);
  assert.equal((await at('/elsewhere')).status, 404);
  const posted = await at('/healthz', { method: 'POST' });
  assert.equal(posted.status, 405);
  assert.equal(posted.headers.get('allow'), 'GET, HEAD');
});

test('readyz lists broken files although the daemon is ready', async () => {
  const notes = async () => ['registries.conf is broken', 'auth.json is broken'];
  await using server = await serveProbes(
    loopback,
    pagesWith({ notes, facts: () => ['fs-verity: off (ENOTTY)'] }),
  );
  const answer = await fetch(`http://127.0.0.1:${server.port}/readyz`);
  assert.equal(answer.status, 200);
  assert.equal(
    await answer.text(),
    'ready, but: registries.conf is broken\nready, but: auth.json is broken\nfs-verity: off (ENOTTY)\n',
  );
});

test('an address in use is refused with what to do', async () => {
  await using server = await serveProbes(loopback, pagesWith({}));
  await assert.rejects(serveProbes({ host: '127.0.0.1', port: server.port }, pagesWith({})), {
    code: 'exists',
    message: /EADDRINUSE.*--http-listen/,
  });
});

test('a server closes although a client keeps its connection', async () => {
  const server = await serveProbes(loopback, pagesWith({}));
  await (await fetch(`http://127.0.0.1:${server.port}/healthz`)).text();
  await server[Symbol.asyncDispose]();
  await assert.rejects(fetch(`http://127.0.0.1:${server.port}/healthz`));
});

test('metrics count calls as other CSI drivers do, and pulls by outcome and registry', async () => {
  const metrics: Metrics & Meter = createMetrics('driver.example', observing([volume]));
  metrics.operation('/csi.v1.Node/NodePublishVolume', 0, 0.2);
  metrics.operation('/csi.v1.Node/NodePublishVolume', 5, 0.2);
  metrics.bytesPulled('registry.example', 1000);
  metrics.bytesPulled('registry.example', 24);
  metrics.pullEnded('ok');

  await using server = await serveProbes(loopback, pagesWith({ metrics }));
  const response = await fetch(`http://127.0.0.1:${server.port}/metrics`);
  assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  const lines = new Set((await response.text()).split('\n'));
  const labels = 'driver_name="driver.example",method_name="/csi.v1.Node/NodePublishVolume"';
  for (const line of [
    'oci_artifact_csi_configuration_errors 1',
    'oci_artifact_csi_fsverity 1',
    'oci_artifact_csi_erofs_views{reason="this kernel has no EROFS"} 0',
    'oci_artifact_csi_log_lines_dropped_total 3',
    'oci_artifact_csi_unhandled_rejections_total 2',
    `csi_plugin_operations_seconds_bucket{le="0.1",${labels},grpc_status_code="OK"} 0`,
    `csi_plugin_operations_seconds_bucket{le="0.25",${labels},grpc_status_code="OK"} 1`,
    `csi_plugin_operations_seconds_bucket{le="600",${labels},grpc_status_code="NotFound"} 1`,
    'oci_artifact_csi_pulls_in_flight 1',
    'oci_artifact_csi_pulls_total{outcome="ok"} 1',
    'oci_artifact_csi_pulls_total{outcome="error"} 0',
    'oci_artifact_csi_pulled_bytes_total{registry="registry.example"} 1024',
    'oci_artifact_csi_cache_bytes 4096',
    'oci_artifact_csi_disk_size_bytes 100',
    'oci_artifact_csi_disk_used_inodes 3',
    'oci_artifact_csi_volumes 1',
    'oci_artifact_csi_volumes_mounted 1',
    'oci_artifact_csi_volumes_failing{grpc_status_code="NotFound"} 2',
    'oci_artifact_csi_volumes_failing{grpc_status_code="Unavailable"} 1',
    `oci_artifact_csi_volume_info{namespace="ml",pod="web-0",volume="csi-1",reference="demo/model",digest="${digest}"} 1`,
  ]) {
    assert.ok(lines.has(line), line);
  }
});

test('invented registries share one series', async () => {
  const metrics = createMetrics('d', observing([]));
  for (let nth = 0; nth < 1000; nth++) metrics.bytesPulled(`made-up-${nth}.example`, 1);
  metrics.bytesPulled('made-up-0.example', 1);
  const lines = (await metrics.scrape()).split('\n').filter(line => line.includes('pulled_bytes_total{'));
  assert.equal(lines.length, 101);
  assert.ok(lines.includes('oci_artifact_csi_pulled_bytes_total{registry="made-up-0.example"} 2'));
  assert.ok(lines.includes('oci_artifact_csi_pulled_bytes_total{registry="other"} 900'));
});

test('a volume that is gone, or fails no more, is gone from the next scrape', async () => {
  const [volumes, failing] = [[volume], [5]];
  const metrics = createMetrics('d', { ...observing(volumes), failing: () => failing });
  assert.match(await metrics.scrape(), /volume_info\{.*csi-1/);
  assert.match(await metrics.scrape(), /volumes_failing\{grpc_status_code="NotFound"\} 1\n/);
  volumes.pop();
  failing.pop();
  assert.doesNotMatch(await metrics.scrape(), /(?:volume_info|volumes_failing)\{/);
});

test('a scrape that fails says why', async () => {
  const scrape = async (): Promise<string> => {
    throw new Error('statfs: EIO');
  };
  await using server = await serveProbes(loopback, pagesWith({ metrics: { contentType: 'x', scrape } }));
  const response = await fetch(`http://127.0.0.1:${server.port}/metrics`);
  assert.equal(response.status, 500);
  assert.equal(await response.text(), 'statfs: EIO\n');
});
