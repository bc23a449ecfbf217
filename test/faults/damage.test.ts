import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { publishRequest, startDaemon, type TestNode, testNode } from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { shownOf, verifyGone, verifyVolume } from '../support/node/volume.ts';
import { gzip, tarOf } from '../support/oci/tar.ts';
import { mountsBelow, unmountBelow } from '../support/os/mounts.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';

/** How a disk may lose a file of the state dir. */
const tear = (path: string): void => truncateSync(path, 10);
/** A directory cannot be read, as a bad sector cannot. */
const makeUnreadable = (path: string): void => {
  rmSync(path);
  mkdirSync(path);
};

/** A node whose daemon published one volume and was killed. */
async function openKilled() {
  await using stack = new AsyncDisposableStack();
  const registry = stack.use(await openFaultyRegistry());
  const node = stack.use(await testNode([registry.host]));
  const text = Buffer.from('a text');
  const mediaType = 'application/vnd.acme.layer.v1.tar+gzip';
  const layer = gzip(await tarOf([[{ name: 'd/model' }, 'a model']]));
  const { reference } = await registry.push('model', 'v1', [
    { name: 'text', bytes: text },
    { bytes: layer, mediaType },
  ]);
  const request = await publishRequest(node, { reference });
  {
    await using daemon = await startDaemon(node);
    await daemon.csi.NodePublishVolume(request);
    await daemon.end('SIGKILL');
  }
  const shown = shownOf([
    ['text', text],
    ['d/model', 'a model'],
  ]);
  const killed = stack.move();
  return { registry, node, reference, request, shown, [Symbol.asyncDispose]: () => killed.disposeAsync() };
}

function damageAll(node: TestNode, directory: string, damage: (path: string) => void): void {
  const files = readdirSync(join(node.stateDir, directory), { withFileTypes: true }).filter(file =>
    file.isFile(),
  );
  assert.ok(files.length > 0, directory);
  for (const { parentPath, name } of files) damage(join(parentPath, name));
}

/** Trees, each with its record. */
const viewsOf = (node: TestNode): readonly string[] =>
  readdirSync(join(node.stateDir, 'views')).filter(name => !name.endsWith('.shape'));

for (const [how, damage] of [
  ['gone', rmSync],
  ['torn', tear],
  ['unreadable', makeUnreadable],
] as const) {
  test(`a volume whose view's record is ${how} stays mounted, is not collected, and is published again after a reboot`, async () => {
    await using killed = await openKilled();
    const { registry, node, request, shown } = killed;
    damageAll(node, 'views', damage);
    const [tree = ''] = viewsOf(node);
    {
      await using daemon = await startDaemon(node);
      assert.ok(
        daemon.output().includes(`the view ${tree.replace('.json', '')} had no record: it is written anew`),
      );
      verifyVolume(request.target_path, shown);
      assert.equal((await daemon.artifacts.Prune({})).freed?.artifacts, 0);
      await daemon.end('SIGKILL');
    }
    unmountBelow(node.kubeletDir);
    registry.fault(() => ({ kind: 'status', status: 503 }));
    await using daemon = await startDaemon(node);
    await daemon.csi.NodePublishVolume(request);
    verifyVolume(request.target_path, shown);
    await daemon.csi.NodeUnpublishVolume(request);
    verifyGone(request.target_path);
  });
}

test('the pod of a volume that lost its record and the record of its view keeps its content', async () => {
  await using killed = await openKilled();
  const { node, request, shown } = killed;
  for (const directory of ['views', 'volumes']) damageAll(node, directory, tear);
  await using daemon = await startDaemon(node);
  verifyVolume(request.target_path, shown);
  assert.ok(daemon.output().includes(`it stays, for ${request.target_path} shows it`));
  await daemon.csi.NodePublishVolume(request);
  verifyVolume(request.target_path, shown);
  await daemon.csi.NodeUnpublishVolume(request);
  verifyGone(request.target_path);
});

test('a view with a torn record that nothing mounts is removed and built again', async () => {
  await using killed = await openKilled();
  const { node, request, shown } = killed;
  unmountBelow(node.kubeletDir);
  for (const directory of ['views', 'volumes']) damageAll(node, directory, tear);
  await using daemon = await startDaemon(node);
  assert.deepEqual(viewsOf(node), []);
  await daemon.csi.NodePublishVolume(request);
  verifyVolume(request.target_path, shown);
  assert.equal(viewsOf(node).length, 2);
});

test('a start skips unreadable records, and garbage collection waits for those that are roots', async () => {
  await using killed = await openKilled();
  const { node, reference, request, shown } = killed;
  {
    await using daemon = await startDaemon(node);
    await daemon.artifacts.Pin({ reference });
    await daemon.end('SIGTERM');
  }
  for (const directory of ['names', 'access', 'pins', 'volumes']) damageAll(node, directory, makeUnreadable);
  await using daemon = await startDaemon(node);
  verifyVolume(request.target_path, shown);
  await daemon.artifacts.List({});
  for (const directory of ['volumes', 'pins', 'names']) {
    const [file = ''] = readdirSync(join(node.stateDir, directory));
    const path = join(node.stateDir, directory, file);
    const { code, text } = await outcomeOf(daemon.artifacts.Prune({}));
    assert.equal(code, 'INTERNAL');
    assert.ok(text.includes(`${path}, a `), text);
    assert.match(text, /repair the disk, or remove that file/);
    assert.ok(daemon.output().includes(`${path}, a `));
    if (directory === 'volumes') await daemon.csi.NodeUnpublishVolume(request);
    else rmSync(path, { recursive: true });
  }
  verifyGone(request.target_path);
  assert.equal(mountsBelow(node.kubeletDir).length, 0);
  assert.equal((await daemon.artifacts.Prune({})).freed?.artifacts, 1);
});
