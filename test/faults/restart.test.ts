import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  mkdirSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { waitUntil } from '../support/node/child.ts';
import {
  publishRequest,
  spawnDaemon,
  startDaemon,
  type TestDaemon,
  type TestNode,
  testNode,
} from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import {
  recordedTargets,
  type Shown,
  shownOf,
  verifyBlobs,
  verifyGone,
  verifyVolume,
} from '../support/node/volume.ts';
import { mountsBelow, unmountBelow } from '../support/os/mounts.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../support/registry/faulty-registry.ts';

let registry: FaultyRegistry;
let node: TestNode;
let daemon: TestDaemon;

before(async () => {
  registry = await openFaultyRegistry();
});
after(async () => {
  await registry?.[Symbol.asyncDispose]();
});
beforeEach(async () => {
  registry.fault(() => undefined);
  node = await testNode([registry.host]);
  daemon = await startDaemon(node);
});
afterEach(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await node?.[Symbol.asyncDispose]();
});

/** Ends the daemon, does something to what it left, and starts it again. */
async function restart(meanwhile: () => void = () => {}, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  await daemon.end(signal);
  await daemon[Symbol.asyncDispose]();
  meanwhile();
  daemon = await startDaemon(node);
}

type Volume = { readonly request: Awaited<ReturnType<typeof publishRequest>>; readonly shown: Shown };

/** Pushes a text and publishes it under the tag. */
async function published(reference: string, text: string, attributes = {}): Promise<Volume> {
  const shown = await push(reference, text);
  const request = await publishRequest(node, { reference: `${registry.host}/${reference}`, ...attributes });
  await daemon.csi.NodePublishVolume(request);
  verifyVolume(request.target_path, shown);
  return { request, shown };
}

async function push(reference: string, text: string): Promise<Shown> {
  const [repository = '', tag = ''] = reference.split(':');
  const bytes = Buffer.from(text);
  await registry.push(repository, tag, [{ name: 'd/model', bytes }]);
  return shownOf([['d/model', bytes]]);
}

describe('after a reboot without mounts,', () => {
  for (const [pullPolicy, tag] of [
    ['IfNotPresent', 'v1'],
    ['Always', 'latest'],
  ] as const) {
    test(`the same request gets its old digest although the tag has moved (${pullPolicy})`, async () => {
      const { request, shown } = await published(`moved-${tag}:${tag}`, 'old', { pullPolicy });
      const moved = await push(`moved-${tag}:${tag}`, 'new');
      await restart(() => unmountBelow(node.kubeletDir));
      const volumes = (await daemon.artifacts.ListVolumes({})).volumes ?? [];
      assert.deepEqual(
        volumes.map(({ target_path, mounted }) => [target_path, mounted]),
        [[request.target_path, false]],
      );
      const asked = registry.asked.length;
      await daemon.csi.NodePublishVolume(request);
      verifyVolume(request.target_path, shown);
      assert.equal(registry.asked.length, asked, 'the registry is not asked');

      const other = await publishRequest(node, {
        reference: `${registry.host}/moved-${tag}:${tag}`,
        pullPolicy: 'Always',
      });
      await daemon.csi.NodePublishVolume(other);
      verifyVolume(other.target_path, moved);
      verifyVolume(request.target_path, shown);
    });
  }

  test("kubelet's disk may be mounted after the daemon starts", async () => {
    const { request, shown } = await published('late:v1', 'old', { pullPolicy: 'Always' });
    await push('late:v1', 'new');
    const away = `${node.kubeletDir}.away`;
    await restart(() => {
      unmountBelow(node.kubeletDir);
      renameSync(node.kubeletDir, away);
      mkdirSync(node.kubeletDir);
    });
    rmdirSync(node.kubeletDir);
    renameSync(away, node.kubeletDir);
    await daemon.csi.NodePublishVolume(request);
    verifyVolume(request.target_path, shown);
  });

  test('the same request needs no registry', async () => {
    const { request, shown } = await published('away:latest', 'here', { pullPolicy: 'Always' });
    await restart(() => unmountBelow(node.kubeletDir));
    registry.fault(() => ({ kind: 'status', status: 503 }));
    await daemon.csi.NodePublishVolume(request);
    verifyVolume(request.target_path, shown);
  });

  test('prune leaves what the records need', async () => {
    const { request, shown } = await published('pruned:v1', 'needed');
    await restart(() => unmountBelow(node.kubeletDir));
    assert.equal((await daemon.artifacts.Prune({})).freed?.artifacts, 0);
    registry.fault(() => ({ kind: 'status', status: 503 }));
    await daemon.csi.NodePublishVolume(request);
    verifyVolume(request.target_path, shown);
  });

  test('another request for the target gets its own artifact', async () => {
    const { request } = await published('first:v1', 'first');
    const shown = await push('second:v1', 'second');
    await restart(() => unmountBelow(node.kubeletDir));
    const reference = `${registry.host}/second:v1`;
    const other = { ...request, volume_context: { ...request.volume_context, reference } };
    await daemon.csi.NodePublishVolume(other);
    verifyVolume(request.target_path, shown);
  });
});

describe('a start', () => {
  test('ends the volumes of pods that are gone, and no others', async () => {
    const [gone, there] = [await published('pods:v1', 'x'), await published('pods:v1', 'x')];
    const podOf = (volume: Volume): string =>
      join(node.kubeletDir, 'pods', volume.request.volume_context?.['csi.storage.k8s.io/pod.uid'] ?? '');
    await restart(() => {
      unmountBelow(podOf(gone));
      rmSync(podOf(gone), { recursive: true });
    });
    assert.deepEqual(recordedTargets(node.stateDir), [there.request.target_path]);
    verifyVolume(there.request.target_path, there.shown);
    assert.equal(mountsBelow(node.kubeletDir).length, 1);
    await daemon.csi.NodeUnpublishVolume(gone.request);
  });

  test('is refused while another daemon uses the state directory, and that daemon continues', async () => {
    const { request, shown } = await published('first:v1', 'x');
    const second = { ...node, socket: join(node.path, 'second.sock') };
    await assert.rejects(
      startDaemon(second),
      new RegExp(
        `${node.stateDir} is in use by process ${daemon.pid} on .*: ask that one over its socket .*, or stop it`,
      ),
    );
    await daemon.csi.NodeUnpublishVolume(request);
    await daemon.csi.NodePublishVolume(request);
    verifyVolume(request.target_path, shown);
  });

  test('is refused while another daemon answers on the socket, and that daemon continues', async () => {
    const { request, shown } = await published('socket:v1', 'x');
    const second = { ...node, stateDir: join(node.path, 'second') };
    await using other = await spawnDaemon(second);
    await waitUntil(daemon, () => !other.alive(), 'alone');
    assert.match(other.output(), /another server answers on .*csi\.sock; stop it, or choose another path/);
    assert.ok(statSync(node.socket).isSocket());
    await daemon.csi.NodePublishVolume(request);
    verifyVolume(request.target_path, shown);
  });

  test('replaces the socket of a killed server, but no other file', async () => {
    await restart(() => assert.ok(statSync(node.socket).isSocket()), 'SIGKILL');
    await daemon.end('SIGTERM');
    writeFileSync(node.socket, 'precious');
    await assert.rejects(
      startDaemon(node),
      /csi\.sock is not a socket; move it away, or choose another path/,
    );
    assert.equal(statSync(node.socket).size, 8);
  });

  test('refuses the state of a newer version, and changes nothing', async () => {
    const { request, shown } = await published('newer:v1', 'x');
    await daemon.end('SIGTERM');
    writeFileSync(join(node.stateDir, 'format'), '999\n');
    await assert.rejects(startDaemon(node), /999/);
    verifyVolume(request.target_path, shown);
    verifyBlobs(node.stateDir);
    writeFileSync(join(node.stateDir, 'format'), '1\n');
  });
});

describe('torn files of the state directory', () => {
  const tears: Readonly<Record<string, (path: string) => void>> = {
    'cut to nothing': path => truncateSync(path, 0),
    'cut in half': path => truncateSync(path, Math.floor(statSync(path).size / 2)),
    'overwritten with noise': path => writeFileSync(path, randomBytes(300)),
    'another object': path => writeFileSync(path, '{"volumeId": 7}'),
  };
  for (const [how, tear] of Object.entries(tears)) {
    test(`(${how}) count as missing`, async () => {
      const volumes = [await published('torn:v1', 'one'), await published('torn:v2', 'two')];
      const { reference } = volumes[0]?.request.volume_context ?? {};
      await daemon.artifacts.Pin({ reference: reference ?? '' });
      await restart(() => {
        for (const directory of ['volumes', 'names', 'pins', 'views']) {
          const files = readdirSync(join(node.stateDir, directory), { withFileTypes: true });
          for (const file of files) if (file.isFile()) tear(join(file.parentPath, file.name));
        }
      }, 'SIGKILL');
      for (const { request, shown } of volumes) {
        verifyVolume(request.target_path, shown);
        const { code, text } = await outcomeOf(daemon.csi.NodePublishVolume(request));
        assert.equal(code, 'OK', text);
        verifyVolume(request.target_path, shown);
      }
      const { text } = await outcomeOf(daemon.artifacts.List({}));
      assert.equal(text, '');
      for (const { request } of volumes) {
        await daemon.csi.NodeUnpublishVolume(request);
        verifyGone(request.target_path);
      }
    });
  }
});
