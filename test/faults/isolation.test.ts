import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import {
  mkdirSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  publishRequest,
  startDaemon,
  type TestDaemon,
  type TestNode,
  testNode,
} from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { openSetting } from '../support/node/setting.ts';
import { recordedTargets, shownOf, verifyVolume } from '../support/node/volume.ts';
import { readTree } from '../support/oci/tree.ts';
import { mountsBelow, unmountBelow } from '../support/os/mounts.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../support/registry/faulty-registry.ts';

const { registry, node, daemon } = await openSetting();
for (const tag of ['v1', 'latest'])
  await registry.push('model', tag, [{ name: 'f', bytes: Buffer.from('x') }]);

const shown = shownOf([['f', 'x']]);

describe('a symlink', () => {
  /** A directory outside of kubelet's, which nothing may touch. */
  function outside(): string {
    const directory = join(node.path, 'outside', randomUUID());
    mkdirSync(join(directory, 'artifact', 'mount'), { recursive: true });
    writeFileSync(join(directory, 'precious'), 'keep');
    return directory;
  }
  async function refused(call: Promise<unknown>): Promise<void> {
    const { code, text } = await outcomeOf(call);
    assert.equal(code, 'INVALID_ARGUMENT', text);
    assert.match(text, /is a symlink or goes through one/);
  }

  test('at the target is refused by publish and unpublish, and its destination stays', async () => {
    const request = await publishRequest(node, { reference: 'model:v1' });
    const directory = outside();
    symlinkSync(directory, request.target_path);
    const before = readTree(directory);
    await refused(daemon.csi.NodePublishVolume(request));
    await refused(daemon.csi.NodeUnpublishVolume(request));
    assert.deepEqual(readTree(directory), before);
    assert.deepEqual(mountsBelow(node.path), []);
    unlinkSync(request.target_path);
    await daemon.csi.NodePublishVolume(request);
    verifyVolume(request.target_path, shown);
    await daemon.csi.NodeUnpublishVolume(request);
  });

  test('above the target is refused, too', async () => {
    const request = await publishRequest(node, { reference: 'model:v1' });
    const directory = outside();
    const above = dirname(dirname(request.target_path)); // kubernetes.io~csi
    renameSync(above, `${above}.away`);
    symlinkSync(directory, above);
    const before = readTree(directory);
    await refused(daemon.csi.NodePublishVolume(request));
    await refused(daemon.csi.NodeUnpublishVolume(request));
    assert.deepEqual(readTree(directory), before);
    assert.deepEqual(mountsBelow(node.path), []);
    assert.deepEqual(recordedTargets(node.stateDir), []);
  });

  test('in place of a mounted volume is not followed by its unpublish', async () => {
    const request = await publishRequest(node, { reference: 'model:v1' });
    await daemon.csi.NodePublishVolume(request);
    const directory = outside();
    unmountBelow(request.target_path);
    rmdirSync(request.target_path);
    symlinkSync(directory, request.target_path);
    const before = readTree(directory);
    await refused(daemon.csi.NodeUnpublishVolume(request));
    assert.deepEqual(readTree(directory), before);
    rmSync(request.target_path);
    await daemon.csi.NodeUnpublishVolume(request);
    assert.deepEqual(recordedTargets(node.stateDir), []);
  });

  test('to the kubelet directory itself is followed', async () => {
    await using other = await testNode([registry.host]);
    const real = `${other.kubeletDir}.real`;
    renameSync(other.kubeletDir, real);
    symlinkSync(real, other.kubeletDir);
    await using second = await startDaemon(other);
    const request = await publishRequest(other, { reference: 'model:v1' });
    await second.csi.NodePublishVolume(request);
    verifyVolume(request.target_path.replace(other.kubeletDir, real), shown);
    await second.csi.NodePublishVolume(request);
    await second.csi.NodeUnpublishVolume(request);
    assert.deepEqual(mountsBelow(other.path), []);
  });
});

describe("a target outside kubelet's directory", () => {
  for (const [what, path] of [
    ['outside of its directory', () => join(node.path, 'elsewhere', 'mount')],
    ['with dots in it', () => join(node.kubeletDir, 'pods') + '/../../elsewhere/mount'],
    ['the directory itself', () => node.kubeletDir],
  ] as const) {
    test(`(${what}) is refused`, async () => {
      mkdirSync(join(node.path, 'elsewhere'), { recursive: true });
      const request = await publishRequest(node, { reference: 'model:v1' });
      const { code, text } = await outcomeOf(
        daemon.csi.NodePublishVolume({ ...request, target_path: path() }),
      );
      assert.equal(code, 'INVALID_ARGUMENT', text);
      assert.deepEqual(readdirSync(join(node.path, 'elsewhere')), []);
    });
  }
});

describe('with the registry gone, a short name', { concurrency: true }, () => {
  let lone: FaultyRegistry;
  let own: TestNode;
  let alone: TestDaemon;

  before(async () => {
    lone = await openFaultyRegistry();
    own = await testNode([lone.host]);
    alone = await startDaemon(own);
    for (const tag of ['v1', 'latest'])
      await lone.push('model', tag, [{ name: 'f', bytes: Buffer.from('x') }]);
    for (const reference of ['model:v1', 'model']) {
      const request = await publishRequest(own, { reference });
      await alone.csi.NodePublishVolume(request);
      await alone.csi.NodeUnpublishVolume(request);
    }
    await lone[Symbol.asyncDispose]();
  });
  after(async () => {
    await alone?.[Symbol.asyncDispose]();
    await own?.[Symbol.asyncDispose]();
  });

  const rows: readonly (readonly [reference: string, pullPolicy: string, code: string, says: RegExp])[] = [
    ['model:v1', '', 'OK', /^$/],
    ['model:v1', 'IfNotPresent', 'OK', /^$/],
    ['model:v1', 'Never', 'OK', /^$/],
    ['model', 'Never', 'OK', /^$/],
    ['model', 'IfNotPresent', 'OK', /^$/],
    ['model', '', 'UNAVAILABLE', /cannot be reached .*ECONNREFUSED.*gave up after/],
    ['model:v1', 'Always', 'UNAVAILABLE', /cannot be reached/],
    [
      'model:v2',
      'Never',
      'NOT_FOUND',
      /model:v2 is not in this node's cache for this pod, and pullPolicy Never forbids .*; load it/,
    ],
    ['model:v2', '', 'UNAVAILABLE', /cannot be reached/],
  ];
  for (const [reference, pullPolicy, code, says] of rows) {
    test(`${reference} under ${pullPolicy || 'the default policy'} is ${code}`, async () => {
      const request = await publishRequest(own, { reference, ...(pullPolicy ? { pullPolicy } : {}) });
      const outcome = await outcomeOf(alone.csi.NodePublishVolume(request));
      assert.equal(outcome.code, code, outcome.text);
      assert.match(outcome.text, says);
      if (code === 'OK') verifyVolume(request.target_path, shown);
      else assert.ok(!mountsBelow(request.target_path).length);
    });
  }
});
