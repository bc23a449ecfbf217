import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ociIndex, ociManifest } from '../../src/oci/manifest.ts';
import { publishRequest } from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { openSetting } from '../support/node/setting.ts';
import { sha256 } from '../support/oci/tar.ts';

/** Documents that are small on the wire and large for their reader. */

const { registry: evil, node, daemon } = await openSetting();

async function publish(reference: string) {
  const request = await publishRequest(node, { reference });
  return await outcomeOf(daemon.csi.NodePublishVolume(request));
}

/** MiB that the daemon took at the most. */
function peakOf(pid: number): number {
  return Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

test('manifests nested two million deep use little memory and delay no calls', async () => {
  const references: string[] = [];
  for (let n = 0; n < 16; n++) {
    const text = `{"n":${n},"schemaVersion":2,"x":${'['.repeat(2e6)}${']'.repeat(2e6)}}`;
    await evil.registry.putManifest('evil/model', `deep${n}`, ociManifest, Buffer.from(text));
    references.push(`${evil.host}/evil/model:deep${n}`);
  }
  const before = peakOf(daemon.pid);
  for (const { code, text } of await Promise.all(references.map(publish))) {
    assert.equal(code, 'FAILED_PRECONDITION', text);
    assert.match(text, /it is nested more than 64 deep/);
  }
  const grown = peakOf(daemon.pid) - before;
  assert.ok(grown < 250, `${grown} MiB`);
});

for (const [what, rest] of [
  [
    'keys',
    `"x":${JSON.stringify(Object.fromEntries(Array.from({ length: 20_000 }, (_, n) => [`k${n}`, 0])))}`,
  ],
  ['values', `"x":[${'{},'.repeat(300_000)}0]`],
] as const) {
  test(`the error for a manifest of too many ${what} says so`, async () => {
    const bytes = Buffer.from(`{"schemaVersion":2,${rest}}`);
    await evil.registry.putManifest('evil/model', what, ociIndex, bytes);
    const { code, text } = await publish(`${evil.host}/evil/model:${what}`);
    assert.equal(code, 'FAILED_PRECONDITION', text);
    assert.match(text, new RegExp(`it has more than 262144 values|more than 10000 ${what}`));
  });
}

test('a manifest of 10,000 layers is mounted', async () => {
  const bytes = Buffer.from('one');
  await evil.registry.putBlob('evil/model', bytes);
  const none = Buffer.from('{}');
  await evil.registry.putBlob('evil/model', none);
  const layers = Array.from({ length: 10_000 }, (_, n) => ({
    mediaType: 'application/octet-stream',
    digest: sha256(bytes),
    size: bytes.length,
    annotations: { 'org.opencontainers.image.title': `part-${n}.bin`, 'org.example.origin': 'one of many' },
  }));
  const config = { mediaType: 'application/x.none', digest: sha256(none), size: none.length };
  const manifest = {
    schemaVersion: 2,
    mediaType: ociManifest,
    artifactType: 'application/x.thing',
    config,
    layers,
  };
  await evil.registry.putManifest('evil/model', 'wide', ociManifest, Buffer.from(JSON.stringify(manifest)));
  const { code, text } = await publish(`${evil.host}/evil/model:wide`);
  assert.equal(code, 'OK', text);
});
