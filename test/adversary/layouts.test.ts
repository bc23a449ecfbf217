import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ociIndex, ociManifest } from '../../src/oci/media-type.ts';
import { publishRequest } from '../support/daemon.ts';
import { type Outcome, outcomeOf } from '../support/outcome.ts';
import { openSetting } from '../support/setting.ts';
import { sha256, tarOf } from '../support/tar.ts';
import { shownOf, verifyVolume } from '../support/volume.ts';

/** Layouts that are not whole, for a node with no registry: nobody is asked, and what was loaded before stays. */

const { node, daemon } = await openSetting();
const reference = 'offline.test/model:v1';

/** A layout of one artifact of one file; `lacks` is left out of it, `instead` is in the place of the file's bytes. */
async function layout(content: string, lacks?: 'manifest' | 'layer', instead?: string): Promise<Buffer> {
  const config = Buffer.from('{}');
  const layer = Buffer.from(content);
  const describe = (mediaType: string, bytes: Buffer) => ({
    mediaType,
    digest: sha256(bytes),
    size: bytes.length,
  });
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: ociManifest,
      artifactType: 'application/x.model',
      config: describe('application/vnd.oci.empty.v1+json', config),
      layers: [
        {
          ...describe('text/plain', layer),
          annotations: { 'org.opencontainers.image.title': 'weights' },
        },
      ],
    }),
  );
  const index = {
    schemaVersion: 2,
    mediaType: ociIndex,
    manifests: [describe(ociManifest, manifest)],
  };
  const blobs = Object.entries({ config, layer, manifest }).filter(([name]) => name !== lacks);
  return tarOf([
    [{ name: 'oci-layout' }, '{"imageLayoutVersion":"1.0.0"}'],
    [{ name: 'index.json' }, JSON.stringify(index)],
    ...blobs.map(
      ([name, bytes]) =>
        [
          { name: `blobs/sha256/${sha256(bytes).slice(7)}` },
          name === 'layer' ? (instead ?? bytes) : bytes,
        ] as const,
    ),
  ]);
}

/** `ends`: whether the stream of the call does. */
function load(tar: Buffer, ends = true): Promise<Outcome> {
  return outcomeOf(
    new Promise((resolve, reject) => {
      const call = daemon.streams.Load((error, response) =>
        error === null ? resolve(response) : reject(error),
      );
      call.write({ reference });
      call.write({ chunk: tar });
      if (!ends) return;
      call.write({ last: true });
      call.end();
    }),
  );
}

test('a layout that lacks a blob is refused by its name, and the one before it stays', async () => {
  assert.equal((await load(await layout('first'))).code, 'OK');
  const layer = await load(await layout('second', 'layer'));
  assert.equal(layer.code, 'NOT_FOUND', layer.text);
  assert.match(
    layer.text,
    /^layer 1 \("weights"\) of offline\.test\/model:v1 is not in .* must be in the layout/,
  );
  const manifest = await load(await layout('third', 'manifest'));
  assert.equal(manifest.code, 'NOT_FOUND', manifest.text);
  assert.match(
    manifest.text,
    /^the manifest sha256:[0-9a-f]{64} of offline\.test\/model:v1 is not in .* must be in the layout/,
  );
  const request = await publishRequest(node, { reference, pullPolicy: 'Never' });
  const published = await outcomeOf(daemon.csi.NodePublishVolume(request));
  assert.equal(published.code, 'OK', published.text);
  verifyVolume(request.target_path, shownOf([['weights', 'first']]));
});

test('a layout shows every blob that it names, also one that the cache has: other bytes under its digest are refused', async () => {
  assert.equal((await load(await layout('held'))).code, 'OK');
  const guessed = await load(await layout('held', undefined, 'x'));
  assert.equal(guessed.code, 'UNAVAILABLE');
  assert.match(guessed.text, /blob sha256:[0-9a-f]{64}: the 1 bytes that came have digest sha256:/);
  assert.equal((await load(await layout('held'))).code, 'OK');
});

test('a layout that leaves its name open is refused as soon as its index.json comes, and what came before is removed', async () => {
  const before = blobsOf(node.stateDir);
  const content = Buffer.from('came before its index');
  const manifests = ['one', 'two'].map(name => ({
    mediaType: ociManifest,
    digest: sha256(Buffer.from(name)),
    size: 3,
    annotations: { 'org.opencontainers.image.ref.name': name },
  }));
  const tar = await tarOf([
    [{ name: `blobs/sha256/${sha256(content).slice(7)}` }, content],
    [{ name: 'index.json' }, JSON.stringify({ schemaVersion: 2, manifests })],
    [{ name: 'blobs/sha256/never-sent' }, Buffer.alloc(100_000)],
  ]);
  const { code, text } = await load(tar.subarray(0, 4 * 1024), false);
  assert.equal(code, 'INVALID_ARGUMENT', text);
  assert.match(text, /^nothing in the layout is offline\.test\/model:v1: it has "one"/);
  assert.deepEqual(blobsOf(node.stateDir), before);
});

function blobsOf(stateDir: string): readonly string[] {
  return readdirSync(join(stateDir, 'blobs/sha256')).toSorted();
}
