import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { publishRequest } from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { openSetting } from '../support/node/setting.ts';
import { recordedTargets, type Shown, shownOf, verifyGone, verifyVolume } from '../support/node/volume.ts';
import { pushImage } from '../support/oci/image.ts';
import { gzip, tarOf } from '../support/oci/tar.ts';
import { mountsBelow } from '../support/os/mounts.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const artifactCount = 20;
const podsPerArtifact = 10;

const { registry, node, daemon } = await openSetting({ flags: { '--log-level': 'info' } });

/** The most memory that the daemon ever had, MiB. */
function peakMemory(): number {
  const status = readFileSync(`/proc/${daemon.pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / KiB;
}

/** Artifacts that share two files and a tar, and each have a file of their own. */
async function pushAll(): Promise<readonly { readonly reference: string; readonly shown: Shown }[]> {
  const shared = [
    ['tokens.bin', randomBytes(6 * MiB)],
    ['config.json', randomBytes(2 * KiB)],
  ] as const;
  const unpacked = Array.from({ length: 200 }, (_, nth) => [`tar/f${nth}`, randomBytes(500)] as const);
  const tar = await tarOf(unpacked.map(([name, bytes]) => [{ name }, bytes]));
  const artifacts = [];
  for (let nth = 0; nth < artifactCount; nth++) {
    const own = ['own.bin', randomBytes(700 * KiB)] as const;
    const files = [...shared, own];
    const { reference } = await registry.push(`crowd-${nth}`, 'v1', [
      ...files.map(([name, bytes]) => ({ name, bytes })),
      { bytes: gzip(tar), mediaType: 'application/vnd.acme.layer.v1.tar+gzip' },
    ]);
    artifacts.push({ reference, shown: shownOf([...files, ...unpacked]) });
  }
  return artifacts;
}

test('200 concurrent publishes of 20 artifacts download each blob once, and unpublishing them leaves nothing', async t => {
  const artifacts = await pushAll();
  registry.fault(({ path }) =>
    path.includes('/blobs/') ? { kind: 'slow', bytesPerSecond: 20 * MiB } : undefined,
  );
  const pods = artifacts.flatMap(artifact => Array.from({ length: podsPerArtifact }, () => artifact));
  const volumes = await Promise.all(
    pods.map(async ({ reference, shown }) => ({ request: await publishRequest(node, { reference }), shown })),
  );
  const start = performance.now();
  await Promise.all(volumes.map(({ request }) => daemon.csi.NodePublishVolume(request)));
  const publishMs = performance.now() - start;

  for (const { request, shown } of volumes) verifyVolume(request.target_path, shown);
  const digests = registry.asked
    .filter(({ method, path }) => method === 'GET' && path.includes('/blobs/'))
    .map(({ path }) => path.slice(path.indexOf('sha256:')));
  assert.equal(digests.length, artifactCount + 3, 'requests for blobs');
  assert.equal(new Set(digests).size, digests.length, 'each blob once');
  const peak = peakMemory();

  const end = performance.now();
  await Promise.all(volumes.map(({ request }) => daemon.csi.NodeUnpublishVolume(request)));
  const unpublishMs = performance.now() - end;
  for (const { request } of volumes) verifyGone(request.target_path);
  assert.deepEqual(mountsBelow(node.kubeletDir), []);
  assert.deepEqual(recordedTargets(node.stateDir), []);
  t.diagnostic(
    `published in ${publishMs.toFixed(0)} ms, unpublished in ${unpublishMs.toFixed(0)} ms; ` +
      `${digests.length} requests for blobs; peak memory ${peak.toFixed(0)} MiB`,
  );
  assert.ok(peak < 256, `${peak} MiB`);
});

test('concurrent publishes of one image download its config and layers once', async () => {
  registry.fault(({ path }) =>
    path.includes('/blobs/') ? { kind: 'slow', bytesPerSecond: MiB } : undefined,
  );
  const tar = await tarOf([[{ name: 'bin/run' }, randomBytes(300 * KiB)]]);
  const { reference, digests } = await pushImage(registry, 'image', tar);
  const requests = await Promise.all(Array.from({ length: 20 }, () => publishRequest(node, { reference })));
  await Promise.all(requests.map(request => daemon.csi.NodePublishVolume(request)));
  await Promise.all(requests.map(request => daemon.csi.NodeUnpublishVolume(request)));
  for (const digest of digests) {
    assert.equal(registry.count('GET', digest), 1, digest);
  }
});

test('of concurrent publishes of one volume, one works and the others are told to retry', async t => {
  registry.fault(() => undefined);
  const bytes = randomBytes(MiB);
  const { reference } = await registry.push('one', 'v1', [{ name: 'f', bytes }]);
  const request = await publishRequest(node, { reference });
  const calls = Array.from({ length: 50 }, () => outcomeOf(daemon.csi.NodePublishVolume(request)));
  const outcomes = await Promise.all(calls);
  const count = (code: string): number => outcomes.filter(outcome => outcome.code === code).length;
  t.diagnostic(`${count('OK')} OK, ${count('ABORTED')} ABORTED`);
  assert.ok(count('OK') >= 1);
  assert.equal(count('OK') + count('ABORTED'), outcomes.length);
  for (const { code, text } of outcomes)
    if (code === 'ABORTED')
      assert.match(text, /another call for the volume at .* is still under way; kubelet tries again/);
  verifyVolume(request.target_path, shownOf([['f', bytes]]));

  const both = await Promise.all(
    Array.from({ length: 50 }, (_, nth) =>
      outcomeOf(
        nth % 2 === 0 ? daemon.csi.NodeUnpublishVolume(request) : daemon.csi.NodePublishVolume(request),
      ),
    ),
  );
  for (const { code, text } of both) assert.ok(code === 'OK' || code === 'ABORTED', `${code} ${text}`);
  await daemon.csi.NodeUnpublishVolume(request);
  verifyGone(request.target_path);
  assert.deepEqual(recordedTargets(node.stateDir), []);
});
