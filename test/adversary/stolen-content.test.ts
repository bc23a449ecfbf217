import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Digest } from '../../src/oci/digest.ts';
import { ociManifest } from '../../src/oci/manifest.ts';
import { partialName } from '../../src/store/blobs/ingest.ts';
import { publishRequest, startDaemon, type TestDaemon, testNode } from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { sha256, tarOf } from '../support/oci/tar.ts';
import { ownForEach } from '../support/os/owned.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import { basic } from '../support/registry/guarded-registry.ts';

/** A pod author with a registry of their own, after what other pods brought to the node by credentials. */

const own = ownForEach();

const alice = { username: 'alice', password: 'pass:wörd' };
const closed = async (): Promise<FaultyRegistry> => own(await openFaultyRegistry({ guard: basic }));

/** Open to anyone, and says of every blob that it is there. */
async function hostile(): Promise<FaultyRegistry> {
  const registry = own(await openFaultyRegistry());
  registry.fault(({ method, path }) =>
    method === 'HEAD' && path.includes('/blobs/') ? { kind: 'status', status: 200 } : undefined,
  );
  return registry;
}

type Attributes = Readonly<Record<string, string>>;
async function publish(
  daemon: TestDaemon,
  reference: string,
  secrets: Attributes = {},
  attributes: Attributes = {},
) {
  const request = await publishRequest(daemon.node, { reference, ...attributes }, secrets);
  return outcomeOf(daemon.csi.NodePublishVolume(request));
}

/** A manifest that lists layers which were not pushed here. */
async function pushThief(
  { registry, host }: FaultyRegistry,
  layers: readonly {
    readonly mediaType: string;
    readonly digest: string;
    readonly size: number;
    readonly annotations?: Attributes;
  }[],
): Promise<string> {
  const config = Buffer.from('{}');
  await registry.putBlob('evil/model', config);
  const document = {
    schemaVersion: 2,
    mediaType: ociManifest,
    artifactType: 'application/vnd.example.thief',
    config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: sha256(config), size: config.length },
    layers,
  };
  await registry.putManifest('evil/model', 'thief', ociManifest, Buffer.from(JSON.stringify(document)));
  return `${host}/evil/model:thief`;
}

function sizesIn(directory: string): readonly number[] {
  return readdirSync(directory).flatMap(
    name => statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? [],
  );
}

const tar = 'application/vnd.oci.image.layer.v1.tar';
const privateTar = (): Promise<Buffer> => tarOf([[{ name: 'codename-osprey' }, 'secret']]);

test('a private tar that is cached as a file is not unpacked for a registry that does not send it', async () => {
  const [registry, evil] = [await closed(), await hostile()];
  const bytes = await privateTar();
  const { reference } = await registry.push('team/data', 'v1', [{ bytes, mediaType: tar }]);
  const daemon = own(await startDaemon(own(await testNode([registry.host, evil.host]))));
  const brought = await publish(daemon, reference, alice, { unpack: 'never' });
  assert.equal(brought.code, 'OK', brought.text);
  const thief = await pushThief(evil, [{ mediaType: tar, digest: sha256(bytes), size: bytes.length }]);
  const outcome = await publish(daemon, thief);
  assert.equal(outcome.code, 'NOT_FOUND', outcome.text);
});

for (const mediaType of [tar, 'application/octet-stream']) {
  test(`a private download that was interrupted at its end is not completed from another registry (${mediaType})`, async () => {
    const [registry, evil] = [await closed(), await hostile()];
    const bytes = Buffer.concat([await privateTar(), Buffer.alloc(600_000)]);
    const digest = sha256(bytes);
    const { reference } = await registry.push('team/data', 'v1', [{ bytes, mediaType, name: 'data' }]);
    registry.fault(({ path }) =>
      path.includes('/blobs/') && path.endsWith(digest)
        ? { kind: 'stall', after: bytes.length - 1 }
        : undefined,
    );
    const daemon = own(await startDaemon(own(await testNode([registry.host, evil.host]))));
    const request = await publishRequest(daemon.node, { reference }, alice);
    const leaving = outcomeOf(daemon.csi.NodePublishVolume(request));
    while (!sizesIn(join(daemon.node.stateDir, 'ingest')).includes(bytes.length - 1)) await sleep(10);
    await daemon[Symbol.asyncDispose]();
    assert.notEqual((await leaving).code, 'OK');
    const again = own(await startDaemon(daemon.node));
    const thief = await pushThief(evil, [{ mediaType, digest, size: bytes.length, annotations: {} }]);
    // The attacker guesses the last byte, and sends that alone.
    evil.fault(({ method, path, headers }) =>
      !path.endsWith(digest)
        ? undefined
        : method === 'HEAD' || headers.range === undefined
          ? { kind: 'status', status: 404 }
          : {
              kind: 'raw',
              text: `HTTP/1.1 206 Partial\r\ncontent-range: bytes ${bytes.length - 1}-${bytes.length - 1}/${bytes.length}\r\ncontent-length: 1\r\n\r\n\0`,
            },
    );
    const outcome = await publish(again, thief);
    assert.match(outcome.code, /PERMISSION_DENIED|NOT_FOUND/, outcome.text);
  });
}

test('a complete private download that was not stored is given to no other repository or registry', async () => {
  const [registry, evil] = [await closed(), await hostile()];
  const node = own(await testNode([registry.host, evil.host]));
  const bytes = Buffer.concat([await privateTar(), Buffer.alloc(600_000)]);
  const digest = sha256(bytes) as Digest;
  const layer = { mediaType: tar, digest, size: bytes.length };
  mkdirSync(join(node.stateDir, 'ingest'), { recursive: true, mode: 0o700 });
  writeFileSync(join(node.stateDir, 'format'), '');
  writeFileSync(join(node.stateDir, 'ingest', partialName(layer, registry.host)), bytes);
  const daemon = own(await startDaemon(node));
  const far = await publish(daemon, await pushThief(evil, [layer]));
  assert.match(far.code, /PERMISSION_DENIED|NOT_FOUND/, far.text);
  const near = await publish(daemon, await pushThief(registry, [layer]), alice);
  assert.match(near.code, /PERMISSION_DENIED|NOT_FOUND/, near.text);
});

test('the content of a private artifact is not revealed before the registry admits the pod', async () => {
  const [registry, evil] = [await closed(), await hostile()];
  const secret = { name: 'codename-osprey.bin', bytes: Buffer.from('x') };
  const pushed = await registry.push('team/model', 'v1', [secret, { name: 'b', bytes: Buffer.from('y') }]);
  const bytes = await privateTar();
  const tarred = await registry.push('team/data', 'v1', [{ bytes, mediaType: tar }]);
  const daemon = own(await startDaemon(own(await testNode([registry.host, evil.host]))));
  assert.equal((await publish(daemon, pushed.reference, alice)).code, 'OK');
  assert.equal((await publish(daemon, tarred.reference, alice)).code, 'OK');

  // The manifest itself: the hostile registry says that it has this digest.
  evil.fault(({ method, path }) =>
    method === 'HEAD' && path.endsWith(pushed.digest)
      ? {
          kind: 'raw',
          text: `HTTP/1.1 200 OK\r\ndocker-content-digest: ${pushed.digest}\r\ncontent-type: ${ociManifest}\r\ncontent-length: ${pushed.manifest.size}\r\n\r\n`,
        }
      : undefined,
  );
  const byManifest = `${evil.host}/evil/model@${pushed.digest}`;
  for (const attributes of [{ include: 'nothing' }, { subPath: 'nothing' }, { platform: 'linux/nothing' }]) {
    const { code, text } = await publish(daemon, byManifest, {}, attributes);
    assert.notEqual(code, 'OK');
    assert.doesNotMatch(text, /osprey/);
  }
  // And a layer: names in a tree, and the digest of what is compressed.
  const annotations = { 'io.deis.oras.content.digest': sha256(Buffer.from('guess')) };
  const layer = { mediaType: tar, digest: sha256(bytes), size: bytes.length };
  const listing = await publish(daemon, await pushThief(evil, [layer]), {}, { subPath: 'nothing' });
  assert.equal(listing.code, 'NOT_FOUND', listing.text);
  const diffId = await publish(daemon, await pushThief(evil, [{ ...layer, annotations }]));
  assert.equal(diffId.code, 'NOT_FOUND', diffId.text);
});

test('an endless blob or manifest does not block pulls of the same digest from another registry', async () => {
  const [registry, evil] = [own(await openFaultyRegistry()), own(await openFaultyRegistry())];
  const weights = { name: 'weights', bytes: Buffer.alloc(400_000, 7) };
  const good = await registry.push('team/model', 'v1', [weights]);
  const bad = await evil.push('team/model', 'v1', [weights]);
  const daemon = own(await startDaemon(own(await testNode([registry.host, evil.host]))));
  evil.fault(({ method, path }) =>
    method === 'GET' && path.endsWith(sha256(weights.bytes)) ? { kind: 'stall', after: 10 } : undefined,
  );
  const held = async (reference: string) => {
    const request = await publishRequest(daemon.node, { reference });
    return outcomeOf(daemon.csi.NodePublishVolume(request, { deadline: Date.now() + 3_000 }));
  };
  const first = held(bad.reference);
  while (evil.count('GET', sha256(weights.bytes)) === 0) await sleep(10);
  assert.equal((await publish(daemon, good.reference)).code, 'OK');

  const other = await registry.push('team/other', 'v1', [{ name: 'o', bytes: Buffer.from('o') }]);
  await evil.push('team/other', 'v1', [{ name: 'o', bytes: Buffer.from('o') }]);
  evil.fault(({ method, path }) =>
    method === 'GET' && path.endsWith(other.digest) ? { kind: 'stall', after: 10 } : undefined,
  );
  const second = held(`${evil.host}/team/other:v1`);
  while (evil.count('GET', other.digest) === 0) await sleep(10);
  assert.equal((await publish(daemon, other.reference)).code, 'OK');
  for (const { code } of await Promise.all([first, second])) assert.notEqual(code, 'OK');
});

test('under Never with a silent registry, a pod cannot tell whether others have cached the artifact', async () => {
  const registry = await closed();
  const { reference, digest } = await registry.push('team/data', 'v1', [
    { name: 'data', bytes: Buffer.alloc(1000, 7) },
  ]);
  const other = await registry.push('mallory/own', 'v1', [{ name: 'x', bytes: Buffer.from('x') }]);
  const node = own(await testNode([registry.host]));
  const first = own(await startDaemon(node));
  assert.equal((await publish(first, reference, alice)).code, 'OK');
  assert.equal((await publish(first, other.reference, alice)).code, 'OK');
  await first[Symbol.asyncDispose]();
  const daemon = own(await startDaemon(node));
  registry.fault(() => ({ kind: 'stall', after: 0 }));
  const mallory = { username: 'mallory', password: 'x' };
  const absent = `sha256:${'a'.repeat(64)}`;
  const hear = async (there: string, notThere: string, secrets: Attributes): Promise<void> => {
    const [here, not] = await Promise.all(
      [there, notThere].map(async name => {
        const { code, text } = await publish(daemon, name, secrets, { pullPolicy: 'Never' });
        return { code, text: text.replaceAll(name, 'X') };
      }),
    );
    assert.deepEqual(here, not);
    assert.equal(here?.code, 'NOT_FOUND');
  };
  const repository = other.reference.replace(/:v1$/, '');
  await Promise.all([
    hear(reference, reference.replace(/v1$/, 'v2'), mallory),
    hear(reference, reference.replace(/v1$/, 'v2'), {}),
    // Of a repository that is remembered to be open to the secret, by the digest of another's manifest.
    hear(`${repository}@${digest}`, `${repository}@${absent}`, alice),
  ]);
});

test('a pod does not see the progress of a layer that another pod pulls', async () => {
  const registry = await closed();
  const bytes = Buffer.alloc(4_000_000, 7);
  const { reference, layers } = await registry.push('team/data', 'v1', [{ name: 'data', bytes }]);
  const stolen = layers[0]?.digest ?? '';
  const slow = await registry.push('mallory/own', 'v1', [{ name: 'x', bytes: Buffer.alloc(4_000_000, 8) }]);
  const daemon = own(await startDaemon(own(await testNode([registry.host]))));
  // The owner's download stands at half, and so does all that the thief may have.
  registry.fault(({ method, path }) =>
    method === 'GET' && path.includes('/blobs/')
      ? { kind: 'stall', after: path.includes('/team/') ? 2_000_000 : 0 }
      : undefined,
  );
  const owner = await publishRequest(daemon.node, { reference }, alice);
  const pulling = outcomeOf(daemon.csi.NodePublishVolume(owner, { deadline: Date.now() + 5_000 }));
  while (registry.count('GET', stolen) === 0) await sleep(10);
  const thief = await pushThief(registry, [
    {
      mediaType: 'x/y',
      digest: stolen,
      size: bytes.length,
      annotations: { 'org.opencontainers.image.title': 'a' },
    },
    ...slow.layers,
  ]);
  const request = await publishRequest(daemon.node, { reference: thief }, alice);
  const heard = await outcomeOf(daemon.csi.NodePublishVolume(request, { deadline: Date.now() + 4_000 }));
  assert.match(heard.text, /pulled 0 B of 7\.6 MiB, 0 of 2 layers/);
  assert.match((await pulling).text, /pulled 1\.9 MiB of 3\.8 MiB/);
});
