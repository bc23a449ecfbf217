import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ociManifest } from '../../src/oci/manifest.ts';
import { publishRequest } from '../support/node/daemon.ts';
import { type Outcome, outcomeOf } from '../support/node/outcome.ts';
import { openSetting } from '../support/node/setting.ts';
import { shownOf, verifyVolume } from '../support/node/volume.ts';
import { layoutOf, loadTar } from '../support/oci/layout.ts';
import { sha256, tarOf } from '../support/oci/tar.ts';

/** Incomplete layouts on a node without a registry: no registry is asked, and earlier loads stay. */

const { node, daemon } = await openSetting();
const reference = 'offline.test/model:v1';

const current = '{"imageLayoutVersion":"1.0.0"}';

/** A layout of one artifact of one file; `lacks` is left out of it, `instead` is in the place of the file's bytes. */
function layout(content: string, lacks?: 'manifest' | 'layer', instead?: string): Promise<Buffer> {
  const weights = {
    name: 'weights',
    mediaType: 'text/plain',
    bytes: Buffer.from(content),
    isAbsent: lacks === 'layer',
    instead: instead === undefined ? undefined : Buffer.from(instead),
  };
  return layoutOf([weights], lacks === 'manifest');
}

function load(tar: Buffer, { name = reference, ends = true } = {}): Promise<Outcome> {
  return outcomeOf(loadTar(daemon, name, tar, ends));
}

test('a layout that lacks a blob is refused with its digest, and the previous artifact stays', async () => {
  assert.equal((await load(await layout('first'))).code, 'OK');
  const layer = await load(await layout('second', 'layer'));
  assert.equal(layer.code, 'NOT_FOUND', layer.text);
  assert.match(
    layer.text,
    /^the layout lacks sha256:[0-9a-f]{64}, layer 1 \("weights"\) of offline\.test\/model:v1, and nothing/,
  );
  const manifest = await load(await layout('third', 'manifest'));
  assert.equal(manifest.code, 'NOT_FOUND', manifest.text);
  assert.match(
    manifest.text,
    /^the layout lacks sha256:[0-9a-f]{64}, the manifest of offline\.test\/model:v1, and nothing/,
  );
  const request = await publishRequest(node, { reference, pullPolicy: 'Never' });
  const published = await outcomeOf(daemon.csi.NodePublishVolume(request));
  assert.equal(published.code, 'OK', published.text);
  verifyVolume(request.target_path, shownOf([['weights', 'first']]));
});

test('a missing blob of a layout is taken neither from other repositories nor from a registry', async () => {
  const content = 'of another repository';
  assert.equal((await load(await layout(content))).code, 'OK');
  for (const lacks of ['manifest', 'layer'] as const) {
    const { code, text } = await load(await layout(content, lacks), { name: 'unreachable.test/other:v1' });
    assert.equal(code, 'NOT_FOUND', text);
    assert.match(
      text,
      /^the layout lacks sha256:[0-9a-f]{64}, .* of unreachable\.test\/other:v1, and nothing/,
    );
    assert.match(text, /write the layout again, with all of its blobs$/);
    const again = await load(await layout(content, lacks));
    assert.equal(again.code, 'OK', 'the same repository has had it');
  }
});

test('a layout without version, of another version, or with links instead of files is refused', async () => {
  const before = blobsOf(node.stateDir);
  const whole = await layout('of a version');
  const link = { name: `blobs/sha256/${'0'.repeat(64)}`, type: 'link', linkname: 'elsewhere' } as const;
  for (const [why, tar] of [
    [/^it has no oci-layout,/, whole.subarray(1024)],
    [/^it has no index\.json,/, await tarOf([[{ name: 'oci-layout' }, current]])],
    [
      /^the layout has the version "2\.0\.0"; only 1\.0\.0 is read/,
      await versioned('{"imageLayoutVersion":"2.0.0"}'),
    ],
    [/^the file oci-layout of the layout has no imageLayoutVersion/, await versioned('{}')],
    [/^the file oci-layout of the layout has no imageLayoutVersion/, await versioned('1.0.0')],
    [
      /^blobs\/sha256\/0{64} is a hard link to "elsewhere" in the tar, not a regular file/,
      await tarOf([[link]]),
    ],
    [
      /^index\.json is a symlink to "x"/,
      await tarOf([[{ name: './index.json', type: 'symlink', linkname: 'x' }]]),
    ],
  ] as const) {
    const { code, text } = await load(tar);
    assert.equal(code, 'INVALID_ARGUMENT', text);
    assert.match(text, why);
    assert.deepEqual(blobsOf(node.stateDir), before);
  }
});

function versioned(text: string): Promise<Buffer> {
  return tarOf([[{ name: 'oci-layout' }, text]]);
}

test('a layout must contain the right bytes of every blob, even of cached ones', async () => {
  assert.equal((await load(await layout('held'))).code, 'OK');
  const guessed = await load(await layout('held', undefined, 'x'));
  assert.equal(guessed.code, 'UNAVAILABLE');
  assert.match(guessed.text, /blob sha256:[0-9a-f]{64}: the 1 bytes that came have digest sha256:/);
  assert.equal((await load(await layout('held'))).code, 'OK');
});

test('a layout with an ambiguous name is refused as soon as index.json was read, and earlier blobs are removed', async () => {
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
  const { code, text } = await load(tar.subarray(0, 4 * 1024), { ends: false });
  assert.equal(code, 'INVALID_ARGUMENT', text);
  assert.match(text, /^nothing in the layout is offline\.test\/model:v1: it has "one"/);
  assert.deepEqual(blobsOf(node.stateDir), before);
});

test('a layout of two artifacts gives each repository its own', async () => {
  const blobs: (readonly [{ readonly name: string }, Buffer])[] = [];
  const add = (mediaType: string, bytes: Buffer) => {
    const digest = sha256(bytes);
    blobs.push([{ name: `blobs/sha256/${digest.slice(7)}` }, bytes]);
    return { mediaType, digest, size: bytes.length };
  };
  const addArtifact = (reference: string) => {
    const title = { 'org.opencontainers.image.title': 'weights' };
    const manifest = {
      schemaVersion: 2,
      mediaType: ociManifest,
      artifactType: 'application/x.model',
      config: add('application/vnd.oci.empty.v1+json', Buffer.from('{}')),
      layers: [{ ...add('text/plain', Buffer.from(reference)), annotations: title }],
    };
    const name = { 'org.opencontainers.image.ref.name': reference };
    return { ...add(ociManifest, Buffer.from(JSON.stringify(manifest))), annotations: name };
  };
  const [one, other] = ['offline.test/one:v1', 'offline.test/other:v1'] as const;
  const manifests = [addArtifact(one), addArtifact(other)];
  const tar = await tarOf([
    [{ name: 'oci-layout' }, current],
    [{ name: 'index.json' }, JSON.stringify({ schemaVersion: 2, manifests })],
    ...blobs,
  ]);
  const loaded = await load(tar, { name: '' });
  assert.equal(loaded.code, 'OK', loaded.text);
  const publish = async (repository: string, nth: 0 | 1): Promise<string> => {
    const wanted = `offline.test/${repository}@${manifests[nth]?.digest}`;
    const request = await publishRequest(node, { reference: wanted, pullPolicy: 'Never' });
    return (await outcomeOf(daemon.csi.NodePublishVolume(request))).code;
  };
  assert.deepEqual([await publish('one', 0), await publish('other', 1)], ['OK', 'OK']);
  assert.deepEqual([await publish('one', 1), await publish('other', 0)], ['NOT_FOUND', 'NOT_FOUND']);
});

function blobsOf(stateDir: string): readonly string[] {
  return readdirSync(join(stateDir, 'blobs/sha256')).toSorted();
}
