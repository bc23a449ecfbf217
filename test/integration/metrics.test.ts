import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { waitUntil } from '../support/node/child.ts';
import { publishRequest } from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { openSetting } from '../support/node/setting.ts';

const { registry, node, daemon } = await openSetting({ flags: { '--driver-name': 'driver.test' } });

const size = 300_000;
const stalledAfter = 3 << 20;

type Labels = Readonly<Record<string, string>>;
type Sample = { readonly name: string; readonly labels: Labels; readonly value: number };

/** Every sample of /metrics now. */
async function scrape(): Promise<readonly Sample[]> {
  const answer = await fetch(`${daemon.http}/metrics`);
  assert.equal(answer.status, 200);
  assert.match(answer.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  const lines = (await answer.text()).split('\n').filter(line => line !== '' && !line.startsWith('#'));
  return lines.map(line => {
    const {
      name,
      labels = '',
      value,
    } = /^(?<name>\w+)(?:\{(?<labels>.*)\})? (?<value>\S+)$/.exec(line)?.groups ?? {};
    assert.ok(name !== undefined, line);
    const pairs = labels.matchAll(/(\w+)="([^"]*)"/g).map(([, key = '', text = '']) => [key, text] as const);
    return { name, labels: Object.fromEntries(pairs), value: Number(value) };
  });
}

/** The samples of a name, each as its labels and value. */
async function samplesOf(name: string): Promise<readonly (readonly [Labels, number])[]> {
  return (await scrape()).filter(sample => sample.name === name).map(({ labels, value }) => [labels, value]);
}

/** The value of the one sample with this name and these labels. */
async function valueOf(name: string, labels: Labels = {}): Promise<number | undefined> {
  const wanted = Object.entries(labels);
  const found = (await samplesOf(name)).filter(([has]) => wanted.every(([key, value]) => has[key] === value));
  assert.ok(found.length <= 1, `${name} is one sample`);
  return found[0]?.[1];
}

/** A call is counted right after its answer. */
async function countsCall(method: string, code: string, count: number): Promise<void> {
  const labels = {
    driver_name: 'driver.test',
    method_name: `/csi.v1.Node/${method}`,
    grpc_status_code: code,
  };
  const counted = async () => (await valueOf('csi_plugin_operations_seconds_count', labels)) === count;
  await waitUntil(daemon, counted, `${method} counted ${count} times as ${code}`, 5_000);
  const seconds = (await valueOf('csi_plugin_operations_seconds_sum', labels)) ?? NaN;
  assert.ok(seconds > 0 && seconds < 60, `${seconds} s`);
}

const bytesOf = () => valueOf('oci_artifact_csi_pulled_bytes_total', { registry: registry.host });
const pullsOf = (outcome: string) => valueOf('oci_artifact_csi_pulls_total', { outcome });
const inFlight = () => valueOf('oci_artifact_csi_pulls_in_flight');

test('a daemon that serves is alive and ready', async () => {
  const readyz = await (await fetch(`${daemon.http}/readyz`)).text();
  assert.equal(await valueOf('oci_artifact_csi_fsverity'), readyz.includes('fs-verity: on') ? 1 : 0);
  for (const page of ['healthz', 'readyz']) assert.equal((await fetch(`${daemon.http}/${page}`)).status, 200);
});

test('before the first call every pull counter exists, at zero', async () => {
  assert.deepEqual(await samplesOf('oci_artifact_csi_pulls_total'), [
    [{ outcome: 'ok' }, 0],
    [{ outcome: 'error' }, 0],
    [{ outcome: 'cancelled' }, 0],
  ]);
  assert.equal(await inFlight(), 0);
  assert.equal(await valueOf('oci_artifact_csi_cache_bytes'), 0);
  assert.equal(await valueOf('oci_artifact_csi_volumes'), 0);
});

test('metrics count a volume with its call, pull, bytes and name, until it is unpublished', async () => {
  const { reference, digest } = await registry.push('works', 'v1', [{ name: 'a', bytes: randomBytes(size) }]);
  const request = await publishRequest(node, { reference });
  await daemon.csi.NodePublishVolume(request);
  await countsCall('NodePublishVolume', 'OK', 1);
  assert.equal(await pullsOf('ok'), 1);
  assert.equal(await pullsOf('error'), 0);
  assert.equal(await inFlight(), 0);
  assert.equal(await bytesOf(), size);
  const cached = (await valueOf('oci_artifact_csi_cache_bytes')) ?? NaN;
  assert.ok(cached >= size && cached < size + 10_000, `${cached} B for a file of ${size} B and its manifest`);
  assert.equal(await valueOf('oci_artifact_csi_volumes'), 1);
  assert.equal(await valueOf('oci_artifact_csi_volumes_mounted'), 1);
  assert.deepEqual(await samplesOf('oci_artifact_csi_volume_info'), [
    [{ namespace: 'default', pod: 'pod', volume: request.volume_id, reference, digest }, 1],
  ]);

  await daemon.csi.NodeUnpublishVolume({ volume_id: request.volume_id, target_path: request.target_path });
  await countsCall('NodeUnpublishVolume', 'OK', 1);
  assert.equal(await valueOf('oci_artifact_csi_volumes'), 0);
  assert.deepEqual(await samplesOf('oci_artifact_csi_volume_info'), []);
  assert.equal(await valueOf('oci_artifact_csi_cache_bytes'), cached);
});

test('a failed publish is counted by its code, and its pull as an error', async () => {
  const { reference, layers } = await registry.push('fails', 'v1', [{ name: 'a', bytes: randomBytes(size) }]);
  registry.fault(({ path }) =>
    path.endsWith(layers[0]?.digest ?? '-') ? { kind: 'status', status: 404 } : undefined,
  );
  const [oks, bytes] = [await pullsOf('ok'), await bytesOf()];
  const { code } = await outcomeOf(daemon.csi.NodePublishVolume(await publishRequest(node, { reference })));
  assert.equal(code, 'NOT_FOUND');
  await countsCall('NodePublishVolume', 'NotFound', 1);
  assert.equal(await pullsOf('error'), 1);
  assert.deepEqual([await pullsOf('ok'), await bytesOf()], [oks, bytes]);
  assert.equal(await inFlight(), 0);
  assert.equal(await valueOf('oci_artifact_csi_volumes'), 0);
});

test('a pull is in flight while its registry stalls, and its bytes so far are counted', async () => {
  const { reference, layers } = await registry.push('stalls', 'v1', [
    { name: 'a', bytes: randomBytes(2 * stalledAfter) },
  ]);
  registry.fault(({ path }) =>
    path.endsWith(layers[0]?.digest ?? '-') ? { kind: 'stall', after: stalledAfter } : undefined,
  );
  const before = (await bytesOf()) ?? 0;
  const ended = [await pullsOf('ok'), await pullsOf('error'), await pullsOf('cancelled')];
  void outcomeOf(daemon.csi.NodePublishVolume(await publishRequest(node, { reference })));
  const came = async () => ((await bytesOf()) ?? 0) - before;
  await waitUntil(daemon, async () => (await came()) > 0, 'something pulled', 5_000);
  assert.ok((await came()) <= stalledAfter, `${await came()} B counted of ${stalledAfter} B sent`);
  assert.equal(await inFlight(), 1);
  assert.deepEqual([await pullsOf('ok'), await pullsOf('error'), await pullsOf('cancelled')], ended);
  assert.equal(await valueOf('oci_artifact_csi_volumes'), 0);
});
