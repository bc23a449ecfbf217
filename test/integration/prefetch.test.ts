import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { GetStatusResponse__Output } from '../../src/grpc/wire/ociartifact/v1/GetStatusResponse.ts';
import { publishRequest, startDaemon, type TestDaemon, testNode } from '../support/node/daemon.ts';
import { shownOf, verifyVolume } from '../support/node/volume.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';

await using stack = new AsyncDisposableStack();
const registry = stack.use(await openFaultyRegistry());
const node = stack.use(await testNode([registry.host]));
const opened = stack.move();
after(() => opened.disposeAsync());

const list = join(node.path, 'prefetch.yaml');
const flags = { '--prefetch': list };
const layer = { name: 'text', bytes: Buffer.from('wanted before any pod') };
const { reference } = await registry.push('early', 'v1', [layer]);

const blobPath = (digest: string): string => join(node.stateDir, 'blobs', ...digest.split(':'));

/** It starts within a twentieth of the interval. */
const entry = { reference, interval: '1m' };

type Prefetch = GetStatusResponse__Output['prefetch'][number];

/** The rows of the list, once they are as a test expects. */
async function settled(daemon: TestDaemon, isSo: (rows: readonly Prefetch[]) => boolean) {
  for (const end = Date.now() + 20_000; ; await sleep(100)) {
    const { prefetch, problems } = await daemon.artifacts.GetStatus({});
    if (isSo(prefetch)) return prefetch;
    assert.ok(Date.now() < end, JSON.stringify({ prefetch, problems }));
  }
}

test('a listed artifact is in the cache and pinned before any pod asks, until it leaves the list', async () => {
  writeFileSync(
    list,
    JSON.stringify({ artifacts: [entry, { ...entry, reference: `${reference}-missing` }] }),
  );
  await using daemon = await startDaemon(node, { flags });
  const rows = await settled(daemon, found => found.every(({ state }) => /READY|FAILED/.test(state)));
  const [ready, failed] = rows;
  assert.deepEqual([rows.length, ready?.state, failed?.state], [2, 'READY', 'FAILED']);
  assert.match(failed?.problem ?? '', /v1-missing does not exist/);
  const { artifacts } = await daemon.artifacts.List({});
  assert.deepEqual(
    artifacts.map(({ reference: name, digest, pinned }) => ({ name, digest, pinned })),
    [{ name: reference, digest: ready?.digest, pinned: true }],
  );
  const metrics = await (await fetch(`${daemon.http}/metrics`)).text();
  assert.match(metrics, /^oci_artifact_csi_prefetch_artifacts\{state="ready"\} 1$/m);
  assert.match(metrics, /^oci_artifact_csi_prefetch_artifacts\{state="failed"\} 1$/m);

  await assert.rejects(daemon.artifacts.Unpin({ reference }), /take it off the list of --prefetch/);
  await assert.rejects(daemon.artifacts.Remove({ reference }), /take it off the list of --prefetch/);
  assert.equal((await daemon.artifacts.Prune({})).freed?.artifacts, 0);

  // The registry must only confirm that the pod may have it.
  const downloads = (): number =>
    registry.asked.filter(({ method, path }) => method === 'GET' && path.includes('/blobs/')).length;
  const before = downloads();
  const request = await publishRequest(node, { reference });
  await daemon.csi.NodePublishVolume(request);
  verifyVolume(request.target_path, shownOf([['text', layer.bytes]]));
  assert.equal(downloads(), before);
  await daemon.csi.NodeUnpublishVolume(request);

  writeFileSync(list, 'artifacts: [ { reference: } ]');
  await settled(daemon, found => found.length === 2);
  assert.match(
    (await daemon.artifacts.GetStatus({})).problems.join(),
    /the list of --prefetch .*prefetch.yaml: /,
  );
  assert.equal((await daemon.artifacts.List({})).artifacts[0]?.pinned, true, 'the last good list is in use');

  writeFileSync(list, 'artifacts: []');
  await settled(daemon, found => found.length === 0);
  assert.equal((await daemon.artifacts.List({})).artifacts[0]?.pinned, false);
  assert.equal((await daemon.artifacts.Prune({})).freed?.artifacts, 1);
});

test('content that only a removed entry of a tag selected can be collected', async () => {
  const parts = ['left', 'right'].map(name => ({ name, bytes: Buffer.from(`only in ${name}`) }));
  const pushed = await registry.push('halves', 'v1', parts);
  const entries = parts.map(({ name }) => ({ ...entry, reference: pushed.reference, include: name }));
  writeFileSync(list, JSON.stringify({ artifacts: entries }));
  await using daemon = await startDaemon(node, { flags });
  await settled(daemon, found => found.length === 2 && found.every(({ state }) => state === 'READY'));
  const held = () => pushed.layers.map(({ digest }) => existsSync(blobPath(digest)));
  assert.deepEqual(held(), [true, true]);
  assert.equal((await daemon.artifacts.Prune({})).freed?.bytes, 0);

  writeFileSync(list, JSON.stringify({ artifacts: entries.slice(1) }));
  await settled(daemon, found => found.length === 1);
  // The pin follows the list at once, but not before its status.
  for (const end = Date.now() + 10_000; held()[0] && Date.now() < end; await sleep(100))
    await daemon.artifacts.Prune({});
  assert.deepEqual(held(), [false, true]);
  writeFileSync(list, 'artifacts: []');
  await settled(daemon, found => found.length === 0);
  for (const end = Date.now() + 10_000; held()[1] && Date.now() < end; await sleep(100))
    await daemon.artifacts.Prune({});
  assert.deepEqual(held(), [false, false]);
});

test('--prefetch-rate slows a download down until a pod wants it', async () => {
  const mib = 1024 * 1024;
  const bytes = Buffer.alloc(24 * mib, 'x');
  const large = await registry.push('large', 'v1', [{ name: 'weights', bytes }]);
  writeFileSync(list, JSON.stringify({ artifacts: [{ ...entry, reference: large.reference }] }));
  await using daemon = await startDaemon(node, { flags: { ...flags, '--prefetch-rate': '2MiB/s' } });
  const loaded = async (): Promise<number> =>
    (await daemon.artifacts.ListPulls({})).pulls[0]?.progress?.bytes ?? 0;
  for (const end = Date.now() + 20_000; (await loaded()) === 0; await sleep(20)) assert.ok(Date.now() < end);
  const [from, began] = [await loaded(), performance.now()];
  await sleep(2_000);
  const rate = ((await loaded()) - from) / mib / ((performance.now() - began) / 1000);
  assert.ok(rate > 0.5 && rate < 2.5, `${rate.toFixed(2)} MiB/s`);

  const request = await publishRequest(node, { reference: large.reference });
  const asked = performance.now();
  await daemon.csi.NodePublishVolume(request);
  const leftSeconds = (bytes.length - from) / mib / 2 - 2;
  assert.ok(performance.now() - asked < (leftSeconds * 1000) / 2, 'it did not wait for the rate');
  verifyVolume(request.target_path, shownOf([['weights', bytes]]));
  await daemon.csi.NodeUnpublishVolume(request);
  writeFileSync(list, 'artifacts: []');
  await settled(daemon, found => found.length === 0);
  await daemon.artifacts.Prune({});
});

test('--prefetch-rate holds for many small layers that are asked for at once', async () => {
  const layers = Array.from({ length: 48 }, (_, index) => ({
    name: `part ${index}`,
    bytes: Buffer.alloc(64 * 1024 * (1 + (index % 2)), `${index}`),
  }));
  const total = layers.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const parts = await registry.push('parts', 'v1', layers);
  const sent = (): number =>
    parts.layers.reduce((sum, { digest }) => sum + registry.sent(`/blobs/${digest}`), 0);
  writeFileSync(list, JSON.stringify({ artifacts: [{ ...entry, reference: parts.reference }] }));
  const rate = 4 * 1024 * 1024;
  await using daemon = await startDaemon(node, { flags: { ...flags, '--prefetch-rate': '4MiB/s' } });
  for (const end = Date.now() + 20_000; sent() === 0; await sleep(5)) assert.ok(Date.now() < end);
  const began = performance.now();
  for (let now = 0; now < total; await sleep(20)) {
    now = sent();
    const seconds = (performance.now() - began) / 1000;
    assert.ok(now <= rate * seconds + 1024 * 1024, `${now} bytes in ${seconds} s`);
    assert.ok(seconds < 10, `${now} bytes in ${seconds} s`);
  }
  await settled(daemon, ([row]) => row?.state === 'READY');
  writeFileSync(list, 'artifacts: []');
  await settled(daemon, found => found.length === 0);
  await daemon.artifacts.Prune({});
});

test('a daemon without the list ends the pins of an earlier one, and keeps those of people', async () => {
  const other = await registry.push('kept', 'v1', [layer]);
  writeFileSync(list, JSON.stringify({ artifacts: [entry] }));
  {
    await using daemon = await startDaemon(node, { flags });
    await settled(daemon, found => found[0]?.state === 'READY');
    for await (const _ of daemon.streams.Pull({ reference: other.reference }));
    await daemon.artifacts.Pin({ reference: other.reference });
  }
  await using daemon = await startDaemon(node);
  const { artifacts } = await daemon.artifacts.List({});
  const isPinned = (name: string) => artifacts.find(artifact => artifact.reference === name)?.pinned;
  assert.deepEqual([isPinned(reference), isPinned(other.reference)], [false, true]);
});
