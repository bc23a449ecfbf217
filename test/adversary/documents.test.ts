import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { ociIndex, ociManifest } from '../../src/oci/manifest.ts';
import {
  publishRequest,
  startDaemon,
  type TestDaemon,
  type TestNode,
  testNode,
} from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { rawTar } from '../support/oci/raw-tar.ts';
import { sha256 } from '../support/oci/tar.ts';
import { mountsBelow } from '../support/os/mounts.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import { basic } from '../support/registry/guarded-registry.ts';

/** Indexes, manifests and descriptors that say one thing here and another there, and those that name what is others'. */

let closed: FaultyRegistry;
let evil: FaultyRegistry;
let node: TestNode;
let daemon: TestDaemon;
before(async () => {
  closed = await openFaultyRegistry({ guard: basic });
  evil = await openFaultyRegistry();
  node = await testNode([closed.host, evil.host]);
  daemon = await startDaemon(node);
});
afterEach(() => evil.fault(() => undefined));
after(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await node?.[Symbol.asyncDispose]();
  await evil?.[Symbol.asyncDispose]();
  await closed?.[Symbol.asyncDispose]();
});

const alice = { username: 'alice', password: 'pass:wörd' };
const imageConfig = 'application/vnd.oci.image.config.v1+json';
const imageLayer = 'application/vnd.oci.image.layer.v1.tar';
const sha512 = (bytes: Uint8Array): string => `sha512:${createHash('sha512').update(bytes).digest('hex')}`;
const json = (document: unknown): Buffer => Buffer.from(JSON.stringify(document));

type Attributes = Readonly<Record<string, string>>;
type Published = Awaited<ReturnType<typeof outcomeOf>> & { readonly path: string };

async function publish(
  reference: string,
  attributes: Attributes = {},
  secrets: Attributes = {},
): Promise<Published> {
  const request = await publishRequest(node, { reference, ...attributes }, secrets);
  return { ...(await outcomeOf(daemon.csi.NodePublishVolume(request))), path: request.target_path };
}

/** Nothing was mounted, and what was said has nothing of what is others'. */
function assertRefused({ code, text, path }: Published, codes: RegExp): void {
  assert.match(code, codes, text);
  assert.doesNotMatch(text, /osprey/);
  assert.deepEqual(mountsBelow(path), []);
}

type Part = { readonly mediaType: string; readonly digest: string; readonly size: number };
const partOf = (bytes: Uint8Array, mediaType = 'application/octet-stream'): Part => ({
  mediaType,
  digest: sha256(bytes),
  size: bytes.length,
});
const none = Buffer.from('{}');
const documentOf = (
  layers: readonly object[],
  config: object = partOf(none, 'application/x.none'),
): object => ({
  schemaVersion: 2,
  mediaType: ociManifest,
  artifactType: 'application/x.thing',
  config,
  layers,
});
const named = (part: Part, name: string): object => ({
  ...part,
  annotations: { 'org.opencontainers.image.title': name },
});

let tags = 0;
/** Pushes past every check; answers a reference by tag. */
async function put(document: unknown, mediaType: string = ociManifest, into = evil): Promise<string> {
  const tag = `t${tags++}`;
  await into.registry.putBlob('evil/model', none);
  await into.registry.putManifest('evil/model', tag, mediaType, json(document));
  return `${into.host}/evil/model:${tag}`;
}

const secret = Buffer.from('codename-osprey: the private weights');
let taken = 0;
/** Alice has brought it to the node. */
async function bring(bytes: Buffer, mediaType = 'application/octet-stream') {
  const { reference, ...pushed } = await closed.push('team/model', `v${taken++}`, [
    { name: 'osprey', bytes, mediaType },
  ]);
  const { code, text } = await publish(reference, { unpack: 'never' }, alice);
  assert.equal(code, 'OK', text);
  return { reference, ...pushed };
}

test('the content of a document decides whether it is an index or a manifest', async () => {
  const layer = Buffer.from('layer');
  await evil.registry.putBlob('evil/model', layer);
  const manifest = { ...documentOf([named(partOf(layer), 'f')]), mediaType: undefined };
  const index = { schemaVersion: 2, manifests: [partOf(json(manifest), ociManifest)] };
  for (const [document, calledIt] of [
    [{ ...manifest, manifests: index.manifests }, ociManifest],
    [{ ...manifest, manifests: [] }, ociIndex],
    [{ ...manifest, mediaType: ociIndex }, ociManifest],
    [{ ...manifest, mediaType: ociManifest }, ociIndex],
    [manifest, ociIndex],
    [index, ociManifest],
  ] as const) {
    assertRefused(await publish(await put(document, calledIt)), /^FAILED_PRECONDITION$/);
  }
  // What it was once called is not remembered of the same bytes.
  const { code, text, path } = await publish(await put(manifest, ociManifest));
  assert.equal(code, 'OK', text);
  assert.deepEqual(readdirSync(path), ['f']);
  assertRefused(await publish(await put(manifest, ociIndex)), /^FAILED_PRECONDITION$/);
});

test('urls of descriptors are ignored', async () => {
  await using other = await openFaultyRegistry();
  const layer = Buffer.from('what lies elsewhere');
  const { digest } = partOf(layer);
  await other.registry.putBlob('evil/model', layer);
  const urls = [`http://${other.host}/v2/evil/model/blobs/${digest}`];
  const manifest = documentOf([{ ...named(partOf(layer), 'f'), urls }], {
    ...partOf(none, imageConfig),
    urls,
  });
  const foreign = { ...partOf(layer, ociManifest), urls };
  assertRefused(await publish(await put(manifest)), /^NOT_FOUND$/);
  assertRefused(await publish(await put({ schemaVersion: 2, manifests: [foreign] }, ociIndex)), /./);
  assert.deepEqual(other.asked, []);
});

test('an index with wrong entries and a chain of indexes are refused', async () => {
  const layer = Buffer.from('layer');
  await evil.registry.putBlob('evil/model', layer);
  const manifest = json(documentOf([named(partOf(layer), 'f')]));
  await put(JSON.parse(manifest.toString()));
  const listing = (part: Part, mediaType: string): object => ({
    schemaVersion: 2,
    mediaType: ociIndex,
    manifests: [{ ...part, mediaType }],
  });
  assertRefused(
    await publish(await put(listing(partOf(manifest), ociIndex), ociIndex)),
    /^FAILED_PRECONDITION$/,
  );
  let inner = listing(partOf(manifest), ociManifest);
  for (let depth = 0; depth < 2; depth++) {
    const { code, text } = await publish(await put(inner, ociIndex));
    assert.equal(code, 'OK', text);
    inner = listing(partOf(json(inner)), ociIndex);
  }
  await put(inner, ociIndex);
  inner = listing(partOf(json(inner)), ociIndex);
  assertRefused(await publish(await put(inner, ociIndex)), /^FAILED_PRECONDITION$/);
});

test('a digest may be the config and a layer of its own repository', async () => {
  const both = json({ rootfs: { diff_ids: [] }, a: 'file' });
  await evil.registry.putBlob('evil/model', both);
  const document = documentOf([named(partOf(both), 'f')], partOf(both, imageConfig));
  const { code, text, path } = await publish(await put(document));
  assert.equal(code, 'OK', text);
  assert.deepEqual(readFileSync(join(path, 'f')), both);
});

test('content that another pod pulled cannot be used as config, layer, manifest or index entry', async () => {
  const config = json({ rootfs: { diff_ids: ['codename-osprey'] } });
  const pushed = await bring(config);
  const { manifest } = pushed;
  const asLayer = partOf(config);
  evil.fault(({ method, path }) =>
    method === 'HEAD' && path.includes('/blobs/') ? { kind: 'status', status: 200 } : undefined,
  );
  for (const document of [
    documentOf([{ ...asLayer, mediaType: imageLayer }], { ...asLayer, mediaType: imageConfig }),
    documentOf([named(asLayer, 'f')], { ...asLayer, mediaType: imageConfig }),
    documentOf([named(asLayer, 'f')]),
    documentOf([{ ...asLayer, mediaType: imageLayer }]),
    documentOf([named({ mediaType: 'text/plain', digest: manifest.digest, size: manifest.size }, 'f')]),
    documentOf([], { mediaType: imageConfig, digest: manifest.digest, size: manifest.size }),
  ]) {
    const codes = /^(?:PERMISSION_DENIED|NOT_FOUND)$/;
    assertRefused(await publish(await put(document)), codes);
    // A repository of the registry where it is, which has it not.
    assertRefused(await publish(await put(document, ociManifest, closed), {}, alice), codes);
  }
  const { digest, size } = manifest;
  for (const mediaType of [ociManifest, ociIndex, '']) {
    const index = { schemaVersion: 2, mediaType: ociIndex, manifests: [{ mediaType, digest, size }] };
    assertRefused(await publish(await put(index, ociIndex)), /^(?:PERMISSION_DENIED|NOT_FOUND)$/);
  }
});

test('a private blob is not unpacked for a pod without access, whose error would reveal its content', async () => {
  const sparse = rawTar({ name: 'a', body: 'b' }, { name: 'codename-osprey', type: 'S' });
  await bring(sparse, 'application/octet-stream');
  await bring(secret);
  for (const bytes of [sparse, secret]) {
    const document = documentOf([partOf(bytes, imageLayer)]);
    assertRefused(await publish(await put(document)), /^(?:PERMISSION_DENIED|NOT_FOUND)$/);
  }
});

test('the size of a private blob is not revealed', async () => {
  await bring(secret);
  for (const size of [0, 1, 1000]) {
    const outcome = await publish(await put(documentOf([named({ ...partOf(secret), size }, 'f')])));
    assertRefused(outcome, /./);
    assert.notEqual(outcome.code, 'OK');
    assert.doesNotMatch(outcome.text, new RegExp(`\\b${secret.length}\\b`));
  }
});

test('the digest of another algorithm gives no access', async () => {
  await bring(secret);
  const digest = sha512(secret);
  assertRefused(
    await publish(await put(documentOf([named({ ...partOf(secret), digest }, 'f')]))),
    /^(?:PERMISSION_DENIED|NOT_FOUND)$/,
  );
  for (const [wrong, codes] of [
    [sha256(secret).toUpperCase(), /^FAILED_PRECONDITION$/],
    [sha256(secret).replace('sha256', 'sha512'), /^FAILED_PRECONDITION$/],
    [`sha256:${digest.slice(7)}`, /^FAILED_PRECONDITION$/],
    [`${sha256(secret)}\n`, /^FAILED_PRECONDITION$/],
    [`sha256:../${'0'.repeat(61)}`, /^FAILED_PRECONDITION$/],
  ] as const) {
    assertRefused(
      await publish(await put(documentOf([named({ ...partOf(secret), digest: wrong }, 'f')]))),
      codes,
    );
  }
});

test('content of another size than its descriptor is refused', async () => {
  const bytes = Buffer.from('some bytes');
  await evil.registry.putBlob('evil/model', bytes);
  const lengthless = (length: boolean): void =>
    evil.fault(({ method, path }) =>
      method === 'GET' && path.endsWith(sha256(bytes)) && !length ? { kind: 'chunked' } : undefined,
    );
  for (const length of [true, false]) {
    lengthless(length);
    for (const size of [0, 4, 9, 11]) {
      for (const document of [
        documentOf([named({ ...partOf(bytes), size }, 'f')]),
        documentOf([], { ...partOf(bytes), size, mediaType: imageConfig }),
      ]) {
        const reference = await put(document);
        const request = await publishRequest(node, { reference });
        const outcome = await outcomeOf(
          daemon.csi.NodePublishVolume(request, { deadline: Date.now() + 4_000 }),
        );
        assertRefused(
          { ...outcome, path: request.target_path },
          /^(?:UNAVAILABLE|ABORTED|FAILED_PRECONDITION|DEADLINE_EXCEEDED)$/,
        );
      }
    }
  }
});
