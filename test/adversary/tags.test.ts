import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import type { Digest } from '../../src/oci/digest.ts';
import { ociIndex, ociManifest } from '../../src/oci/manifest.ts';
import {
  publishRequest,
  startDaemon,
  type TestDaemon,
  type TestNode,
  testNode,
} from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { sha256 } from '../support/oci/tar.ts';
import { mountsBelow } from '../support/os/mounts.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import { makeSigner } from '../support/signing/signer.ts';
import { claimOf, signSimple } from '../support/signing/signing.ts';

/** A registry that answers one question with what is signed, and the next with what is not. */

const signer = makeSigner();
let registry: FaultyRegistry;
let node: TestNode;
let daemon: TestDaemon;
before(async () => {
  registry = await openFaultyRegistry();
  node = await testNode([registry.host]);
  const policy = join(node.path, 'policy.json');
  writeFileSync(join(node.path, 'signer.pub'), signer.pem);
  const requirement = {
    type: 'sigstoreSigned',
    keyPath: join(node.path, 'signer.pub'),
    signedIdentity: { type: 'matchRepository' },
  };
  writeFileSync(policy, JSON.stringify({ default: [requirement] }));
  daemon = await startDaemon(node, { flags: { '--policy': policy } });
});
afterEach(() => registry.fault(() => undefined));
after(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await node?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
});

/** Stores a `.sig` as cosign does; it may lie at another digest, and in another repository, than what is signed. */
async function sign(repository: string, digest: Digest, of = digest, into = repository): Promise<void> {
  const { payload, annotations } = signSimple(claimOf(`${registry.host}/${repository}`, digest), signer);
  const config = Buffer.from('{}');
  const part = (mediaType: string, bytes: Buffer) => ({
    mediaType,
    digest: sha256(bytes),
    size: bytes.length,
  });
  await registry.registry.putBlob(into, config);
  await registry.registry.putBlob(into, Buffer.from(payload));
  const manifest = {
    schemaVersion: 2,
    mediaType: ociManifest,
    config: part('application/vnd.oci.image.config.v1+json', config),
    layers: [
      {
        ...part('application/vnd.dev.cosign.simplesigning.v1+json', Buffer.from(payload)),
        annotations,
      },
    ],
  };
  const tag = `${of.replace(':', '-')}.sig`;
  await registry.registry.putManifest(into, tag, ociManifest, Buffer.from(JSON.stringify(manifest)));
}

let pushed = 0;
type Pushed = Awaited<ReturnType<FaultyRegistry['push']>> & { readonly repository: string };
/** A repository with `good`, which is signed, and `bad`, which is not. */
async function repositoryOfTwo(): Promise<{ readonly good: Pushed; readonly bad: Pushed }> {
  const repository = `models/m${pushed++}`;
  const push = async (tag: string): Promise<Pushed> => ({
    repository,
    ...(await registry.push(repository, tag, [{ name: 'f', bytes: Buffer.from(`${tag} ${pushed}`) }])),
  });
  const [good, bad] = [await push('good'), await push('bad')];
  await sign(repository, good.digest);
  return { good, bad };
}

async function publish(reference: string) {
  const request = await publishRequest(node, { reference, pullPolicy: 'Always' });
  return { ...(await outcomeOf(daemon.csi.NodePublishVolume(request))), path: request.target_path };
}

function assertRefused({ code, text, path }: Awaited<ReturnType<typeof publish>>, codes: RegExp): void {
  assert.match(code, codes, text);
  assert.deepEqual(mountsBelow(path), []);
}

const head = (digest: Digest, size: number): string =>
  `HTTP/1.1 200 OK\r\ndocker-content-digest: ${digest}\r\ncontent-type: ${ociManifest}\r\ncontent-length: ${size}\r\n\r\n`;
const body = (digest: Digest, bytes: Buffer): string =>
  `${head(digest, bytes.length)}${bytes.toString('latin1')}`;
/** The bytes of a manifest as the registry sends them. */
const bytesOf = async ({ repository, digest }: Pushed): Promise<Buffer> =>
  Buffer.from(
    await (await fetch(`http://${registry.host}/v2/${repository}/manifests/${digest}`)).arrayBuffer(),
  );

test('a signed artifact is mounted, and an unsigned one is refused', async () => {
  const { good, bad } = await repositoryOfTwo();
  const { code, text, path } = await publish(good.reference);
  assert.equal(code, 'OK', text);
  assert.match(readFileSync(join(path, 'f'), 'utf8'), /^good/);
  assertRefused(await publish(bad.reference), /^PERMISSION_DENIED$/);
});

test('if a tag moves between two requests, its first digest is verified and mounted', async () => {
  for (let turn = 0; turn < 4; turn++) {
    const { good, bad } = await repositoryOfTwo();
    let asked = 0;
    registry.fault(({ method, path }) => {
      if (!path.endsWith('/manifests/moving')) return undefined;
      const isGood = asked++ % 2 === turn % 2;
      const { digest, manifest } = isGood ? good : bad;
      // Now with all that a HEAD must say, now with nothing: then it is asked again, by GET.
      if (method === 'HEAD' && turn < 2) return { kind: 'raw', text: head(digest, manifest.size) };
      if (method === 'HEAD')
        return { kind: 'raw', text: 'HTTP/1.1 405 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n' };
      return { kind: 'raw', text: body(digest, isGood ? goodBytes : badBytes) };
    });
    const [goodBytes, badBytes] = [await bytesOf(good), await bytesOf(bad)];
    const outcome = await publish(`${registry.host}/${good.repository}:moving`);
    const asks = asked;
    if (outcome.code === 'OK') assert.match(readFileSync(join(outcome.path, 'f'), 'utf8'), /^good/);
    else assertRefused(outcome, /^PERMISSION_DENIED$/);
    assert.ok(asks <= 2, 'a tag is resolved once');
  }
});

test('a digest with other bytes is refused', async () => {
  for (const question of ['by HEAD and GET', 'by GET alone'] as const) {
    const { good, bad } = await repositoryOfTwo();
    const lie = body(good.digest, await bytesOf(bad));
    registry.fault(({ method, path }) => {
      if (path.endsWith('/manifests/lying') && question === 'by GET alone') {
        return method === 'HEAD'
          ? { kind: 'raw', text: 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n' }
          : { kind: 'raw', text: lie };
      }
      if (path.endsWith('/manifests/lying')) {
        return { kind: 'raw', text: head(good.digest, bad.manifest.size) };
      }
      return method === 'GET' && path.endsWith(good.digest) ? { kind: 'raw', text: lie } : undefined;
    });
    assertRefused(await publish(`${registry.host}/${good.repository}:lying`), /^UNAVAILABLE$/);
    assertRefused(await publish(`${registry.host}/${good.repository}@${good.digest}`), /^UNAVAILABLE$/);
  }
});

test('a changed entry of a signed index is refused', async () => {
  const { good, bad } = await repositoryOfTwo();
  const index = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: ociIndex,
      manifests: [{ mediaType: ociManifest, digest: good.digest, size: good.manifest.size }],
    }),
  );
  const digest = await registry.registry.putManifest(good.repository, 'index', ociIndex, index);
  await sign(good.repository, digest);
  const badBytes = await bytesOf(bad);
  registry.fault(({ method, path }) =>
    method === 'GET' && path.endsWith(good.digest)
      ? { kind: 'raw', text: body(good.digest, badBytes) }
      : undefined,
  );
  assertRefused(await publish(`${registry.host}/${good.repository}:index`), /^UNAVAILABLE$/);
});

test('signatures of another digest or another repository are refused', async () => {
  const { good, bad } = await repositoryOfTwo();
  const other = await repositoryOfTwo();
  await sign(bad.repository, good.digest, bad.digest);
  assertRefused(await publish(bad.reference), /^PERMISSION_DENIED$/);
  // The good one in another repository, with the signature that it has where it is.
  await registry.registry.putManifest(other.bad.repository, 'moved', ociManifest, await bytesOf(good));
  await sign(good.repository, good.digest, good.digest, other.bad.repository);
  const moved = await publish(`${registry.host}/${other.bad.repository}:moved`);
  assertRefused(moved, /^PERMISSION_DENIED$/);
  assert.match(moved.text, /it was made for/);
});
