import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import type { Digest } from '../../src/oci/digest.ts';
import { ociIndex } from '../../src/oci/manifest.ts';
import {
  publishRequest,
  startDaemon,
  type TestDaemon,
  type TestNode,
  testNode,
} from '../support/node/daemon.ts';
import { main } from '../support/node/main.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { mountsBelow, unmountBelow } from '../support/os/mounts.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { needs } from '../support/project/tools.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import { cosignSign, makeCosignKey } from '../support/signing/cosign.ts';

const mirrored = 'registry.test';

/** An index of one manifest, both in a repository. */
type Pushed = { readonly name: string; readonly index: Digest; readonly manifest: Digest };

describe('an artifact that was cached before the policy existed', needs('cosign'), () => {
  const stack = new AsyncDisposableStack();
  after(() => stack.disposeAsync());
  let registry: FaultyRegistry;
  let node: TestNode;
  let daemon: TestDaemon;
  let work: string;
  let model: Pushed;
  let lost: Awaited<ReturnType<typeof publishRequest>>;

  async function push(repository: string, text: string): Promise<Pushed> {
    const { manifest } = await registry.push(repository, 'one', [{ name: 'f', bytes: Buffer.from(text) }]);
    const platform = { os: 'linux', architecture: process.arch === 'arm64' ? 'arm64' : 'amd64' };
    const index = { schemaVersion: 2, mediaType: ociIndex, manifests: [{ ...manifest, platform }] };
    const bytes = Buffer.from(JSON.stringify(index));
    const digest = await registry.registry.putManifest(repository, 'v1', ociIndex, bytes);
    return { name: `${registry.host}/${repository}`, index: digest, manifest: manifest.digest };
  }

  async function publish(attributes: Readonly<Record<string, string>>): Promise<string> {
    const request = await publishRequest(node, attributes);
    const { code, text } = await outcomeOf(daemon.csi.NodePublishVolume(request));
    if (code === 'OK') return code;
    assert.deepEqual(mountsBelow(request.target_path), []);
    return `${code} ${text}`;
  }

  const restart = async (flags: Readonly<Record<string, string>>): Promise<void> => {
    await daemon[Symbol.asyncDispose]();
    daemon = stack.use(await startDaemon(node, { flags }));
  };

  before(async () => {
    work = stack.use(await temporaryDirectory()).path;
    registry = stack.use(await openFaultyRegistry());
    const origin = stack.use(await openFaultyRegistry()); // which has nothing
    node = stack.use(await testNode([registry.host, origin.host]));
    await writeFile(
      join(node.registriesConfDir, 'mirror.conf'),
      `[[registry]]\nprefix = "${mirrored}"\nlocation = "${origin.host}"\ninsecure = true\n[[registry.mirror]]\nlocation = "${registry.host}"\ninsecure = true\n`,
    );
    await makeCosignKey('signer', work);
    daemon = stack.use(await startDaemon(node));
    model = await push('models/model', 'model');
    await push('other/alias', 'model');
    const { host } = registry;
    for (const reference of [
      `${model.name}:v1`,
      `${model.name}@${model.index}`,
      `${model.name}@${model.manifest}`,
      `${host}/other/alias:v1`,
      `${mirrored}/models/model:v1`,
      'models/model:v1',
    ]) {
      assert.equal(await publish({ reference }), 'OK', reference);
    }
    await daemon.artifacts.Pin({ reference: `${model.name}:v1` });
    lost = await publishRequest(node, { reference: `${model.name}:v1` });
    await daemon.csi.NodePublishVolume(lost);
    unmountBelow(lost.target_path);
    const requirement = {
      type: 'sigstoreSigned',
      keyPath: join(work, 'signer.pub'),
      signedIdentity: { type: 'matchDigest' },
    };
    await writeFile(join(work, 'policy.json'), JSON.stringify({ default: [requirement] }));
    await restart({ '--policy': join(work, 'policy.json') });
  });

  const ways: Readonly<Record<string, () => Readonly<Record<string, string>>>> = {
    'its tag': () => ({ reference: `${model.name}:v1` }),
    'its tag, asked for again': () => ({ reference: `${model.name}:v1`, pullPolicy: 'Always' }),
    'its tag, never asked for': () => ({ reference: `${model.name}:v1`, pullPolicy: 'Never' }),
    'a short name': () => ({ reference: 'models/model:v1' }),
    'the digest of its index': () => ({ reference: `${model.name}@${model.index}` }),
    'that digest, never asked for': () => ({
      reference: `${model.name}@${model.index}`,
      pullPolicy: 'Never',
    }),
    'the digest of its manifest': () => ({ reference: `${model.name}@${model.manifest}` }),
    'that digest of a manifest, never asked for': () => ({
      reference: `${model.name}@${model.manifest}`,
      pullPolicy: 'Never',
    }),
    'a tag beside a digest': () => ({ reference: `${model.name}:v1@${model.index}` }),
    'another repository with the same digest': () => ({ reference: `${registry.host}/other/alias:v1` }),
    'a name that a mirror answers for': () => ({ reference: `${mirrored}/models/model:v1` }),
    'a name that a mirror answered for': () => ({
      reference: `${mirrored}/models/model:v1`,
      pullPolicy: 'Never',
    }),
    'a part of it': () => ({ reference: `${model.name}:v1`, include: 'f' }),
    'a directory of it': () => ({ reference: `${model.name}:v1`, subPath: 'f' }),
  };

  for (const [what, attributes] of Object.entries(ways)) {
    test(`is not mounted by ${what}`, async () => {
      assert.match(await publish(attributes()), /^PERMISSION_DENIED .*policy\.json: .*it is not signed/);
    });
  }

  test('is not mounted again at its target after its mount was lost', async () => {
    const { code, text } = await outcomeOf(daemon.csi.NodePublishVolume(lost));
    assert.match(`${code} ${text}`, /^PERMISSION_DENIED .*it is not signed/);
    assert.deepEqual(mountsBelow(lost.target_path), []);
  });

  test('is not pulled or loaded by commands either, and none of its names stays', async () => {
    const pulling = async () => {
      for await (const _ of daemon.streams.Pull({ reference: `${model.name}:v1` })) continue;
    };
    await assert.rejects(pulling(), /PERMISSION_DENIED.*it is not signed/);
    const layout = join(work, 'layout');
    await mkdir(join(layout, 'blobs/sha256'), { recursive: true });
    const { manifest, layers } = await registry.push('away', 'v1', [
      { name: 'f', bytes: Buffer.from('away') },
    ]);
    const empty = 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a';
    for (const digest of [manifest.digest, empty, ...layers.map(layer => layer.digest)]) {
      const kind = digest === manifest.digest ? 'manifests' : 'blobs';
      const body = await (await fetch(`http://${registry.host}/v2/away/${kind}/${digest}`)).bytes();
      await writeFile(join(layout, 'blobs/sha256', digest.slice(7)), body);
    }
    await writeFile(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
    await writeFile(join(layout, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [manifest] }));
    const env = {
      ...process.env,
      CSI_ENDPOINT: `unix://${node.socket}`,
      OCI_ARTIFACT_STATE_DIR: node.stateDir,
    };
    const loading = promisify(execFile)(process.execPath, [main, 'load', layout, 'away.test/m:v1'], { env });
    await assert.rejects(loading, /away\.test\/m:v1 .*it is not signed/);
    for (const reference of ['away.test/m:v1', `away.test/m@${manifest.digest}`]) {
      assert.doesNotMatch(await publish({ reference, pullPolicy: 'Never' }), /^OK/);
    }
  });

  test('is mounted by references through its signed index, in that repository only', async () => {
    await cosignSign('tag', 'signer', `${model.name}@${model.index}`, work);
    for (const what of ['its tag', 'a short name', 'the digest of its index', 'a part of it']) {
      assert.equal(await publish(ways[what]?.() ?? {}), 'OK', what);
    }
    registry.fault(() => ({ kind: 'status', status: 503 }));
    try {
      for (const what of ['its tag, never asked for', 'that digest, never asked for']) {
        assert.equal(await publish(ways[what]?.() ?? {}), 'OK', what);
      }
    } finally {
      registry.reset();
    }
    for (const what of [
      'the digest of its manifest',
      'that digest of a manifest, never asked for',
      'another repository with the same digest',
    ]) {
      assert.match(await publish(ways[what]?.() ?? {}), /^PERMISSION_DENIED .*it is not signed/, what);
    }
  });

  test('is not mounted by its index if only its manifest is signed', async () => {
    const { name, index, manifest } = await push('models/inner', 'inner');
    await cosignSign('tag', 'signer', `${name}@${manifest}`, work);
    assert.equal(await publish({ reference: `${name}@${manifest}` }), 'OK');
    for (const reference of [`${name}:v1`, `${name}@${index}`]) {
      assert.match(await publish({ reference }), /^PERMISSION_DENIED .*it is not signed/, reference);
    }
  });
});
