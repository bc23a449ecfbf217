import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { exitCodes } from '../../src/cli/exit.ts';
import { waitUntil } from '../support/node/child.ts';
import {
  publishRequest,
  spawnDaemon,
  startDaemon,
  type TestDaemon,
  type TestNode,
  testNode,
} from '../support/node/daemon.ts';
import { shownOf, verifyGone, verifyVolume } from '../support/node/volume.ts';
import { tarOf } from '../support/oci/tar.ts';
import { needs } from '../support/project/tools.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../support/registry/faulty-registry.ts';

/**
 * A state directory as a daemon of version 0.1 wrote it on 22 November 2026, with kubelet's directory /var/lib/kubelet:
 * without the lists of digests in records, without shapes of views and verification times, and with an older table of
 * contents of tar layers. Three pods have volumes, one artifact is pinned, and one was unmounted.
 */
const archive = fileURLToPath(new URL('../support/node/states/0.1-before-lists.tar.gz', import.meta.url));
const at = (name: string): string => `registry.example/team/${name}:v1`;
const run = '#!/bin/sh\necho ran\n';
const mtime = new Date(1_700_000_000_000);

/** What each artifact shows; `digest`: what its reference resolved to. */
const artifacts = {
  model: {
    digest: 'sha256:bb4d47d88cea709706be0f1ce1078a35523b2213d62d70e2e5a32913b2f99f02',
    shown: shownOf([
      ['config.json', '{"layers": 2}\n'],
      ['weights.bin', Buffer.alloc(5000, 'weights ')],
    ]),
  },
  /** A tar layer, of which the volume shows the directory `bin`. */
  tools: {
    digest: 'sha256:8051db18191392c389ff049a8669242517fe570629f3b95e387dc6d87de220ca',
    shown: {
      ...shownOf([
        ['run.sh', run],
        ['again.sh', run],
      ]),
      run: 'link to run.sh',
    },
  },
  /** An index. */
  multi: {
    digest: 'sha256:779bf04cd45077577675277f4d7db063f9f18248c9f3caecb667caf287196029',
    shown: shownOf([['platform.txt', 'linux/amd64 and others\n']]),
  },
  pinned: {
    digest: 'sha256:66123edca6a66ae4f8b72e2b15f1c86be7155f864ad8557640879d6d08263901',
    shown: shownOf([['pinned.txt', 'pinned\n']]),
  },
  cached: {
    digest: 'sha256:cd58bfc4654f901de5b6d7cf631f3d75fc9c0e776eb40d5faa81e483caaad7ff',
    shown: shownOf([['cached.txt', 'cached\n']]),
  },
} as const;
type Name = keyof typeof artifacts;
const withVolume: readonly Name[] = ['model', 'multi', 'tools'];
const attributes: Readonly<Partial<Record<Name, Readonly<Record<string, string>>>>> = {
  tools: { subPath: 'bin' },
  multi: { platform: 'linux/amd64' },
};

type OldRecord = {
  readonly targetPath: string;
  readonly volumeId: string;
  readonly view: string;
  readonly reference: string;
  readonly pod: { readonly uid: string; readonly name: string };
};

/** Unpacks the old state directory, and mounts its volumes as the old daemon has left them. Returns their records. */
function restore(node: TestNode): readonly OldRecord[] {
  mkdirSync(node.stateDir);
  execFileSync('tar', ['-C', node.stateDir, '-xzf', archive]);
  const directory = join(node.stateDir, 'volumes');
  return readdirSync(directory).map(name => {
    const text = readFileSync(join(directory, name), 'utf8').replaceAll('/var/lib/kubelet', node.kubeletDir);
    const record = JSON.parse(text) as OldRecord;
    const renamed = createHash('sha256').update(record.targetPath).digest('hex');
    renameSync(join(directory, name), join(directory, renamed));
    writeFileSync(join(directory, renamed), text);
    mkdirSync(record.targetPath, { recursive: true });
    const view = join(node.stateDir, 'views', record.view);
    execFileSync('mount', ['--bind', view, record.targetPath]);
    execFileSync('mount', ['-o', 'remount,bind,ro,nosuid,nodev', record.targetPath]);
    return record;
  });
}

/** kubelet's request for the volume of a record, as it was when the old daemon served it. */
async function requestOf(node: TestNode, record: OldRecord): ReturnType<typeof publishRequest> {
  const name = nameOf(record.reference);
  const request = await publishRequest(node, { reference: at(name), ...attributes[name] });
  rmSync(dirname(dirname(dirname(dirname(request.target_path)))), { recursive: true }); // of another pod
  const pod = {
    'csi.storage.k8s.io/pod.uid': record.pod.uid,
    'csi.storage.k8s.io/pod.name': record.pod.name,
  };
  return {
    ...request,
    volume_id: record.volumeId,
    target_path: record.targetPath,
    volume_context: { ...request.volume_context, ...pod },
  };
}

const nameOf = (reference: string): Name => /team\/(?<name>\w+):/.exec(reference)?.groups?.['name'] as Name;

/** Makes registry.example another host. */
function setRegistry(node: TestNode, location: string): void {
  const registry = `[[registry]]\nprefix = "registry.example"\nlocation = "${location}"\ninsecure = true\n`;
  writeFileSync(node.registriesConf, registry);
}

async function publishNew(daemon: TestDaemon, name: Name, more: object = {}): Promise<string> {
  const request = await publishRequest(daemon.node, { reference: at(name), ...attributes[name], ...more });
  await daemon.csi.NodePublishVolume(request);
  return request.target_path;
}

test(
  'after an upgrade from the first layout, without a registry, each volume and cached file is there',
  needs('root'),
  async () => {
    await using node = await testNode();
    const records = restore(node);
    setRegistry(node, '127.0.0.1:9'); // nobody answers there
    await using daemon = await startDaemon(node);

    const { volumes } = await daemon.artifacts.ListVolumes({});
    assert.deepEqual(
      Object.fromEntries(volumes.map(({ reference, digest, mounted }) => [reference, { digest, mounted }])),
      Object.fromEntries(
        withVolume.map(name => [at(name), { digest: artifacts[name].digest, mounted: true }]),
      ),
    );
    const layers = join(node.stateDir, 'layers/bodies/sha256');
    await waitUntil(
      daemon,
      () => readdirSync(layers).length === 0,
      'rid of the tar layer that it cannot read',
    );
    for (const record of records) {
      const shown = artifacts[nameOf(record.reference)].shown;
      verifyVolume(record.targetPath, shown);
      await daemon.csi.NodePublishVolume(await requestOf(node, record)); // as kubelet does when it starts
      verifyVolume(record.targetPath, shown);
    }
    const { artifacts: listed } = await daemon.artifacts.List({});
    assert.deepEqual(
      listed.map(({ reference, digest, pinned, volumes: count }) => [reference, digest, pinned, count]),
      (['cached', 'model', 'multi', 'pinned', 'tools'] as const).map(name => [
        at(name),
        artifacts[name].digest,
        name === 'pinned',
        withVolume.includes(name) ? 1 : 0,
      ]),
    );
    for (const name of ['model', 'multi', 'pinned', 'cached'] as const)
      verifyVolume(await publishNew(daemon, name, { pullPolicy: 'Never' }), artifacts[name].shown);

    for (const record of records) {
      await daemon.csi.NodeUnpublishVolume({ volume_id: record.volumeId, target_path: record.targetPath });
      verifyGone(record.targetPath);
    }
    assert.deepEqual(readdirSync(join(node.stateDir, 'quarantine')), [], 'nothing is taken for damaged');
    assert.doesNotMatch(daemon.output(), /"level":"(?:warn|error)"/);
  },
);

test(
  'after an upgrade from the first layout a tar layer is unpacked again, while volumes of it stay',
  needs('root'),
  async () => {
    await using registry: FaultyRegistry = await openFaultyRegistry();
    await using node = await testNode();
    const records = restore(node);
    setRegistry(node, registry.host);
    const tar = await tarOf([
      [{ name: 'bin/', type: 'directory', mtime }],
      [{ name: 'bin/run.sh', mode: 0o755, mtime }, run],
      [{ name: 'bin/again.sh', type: 'link', linkname: 'bin/run.sh', mtime }],
      [{ name: 'bin/run', type: 'symlink', linkname: 'run.sh', mtime }],
    ]);
    await registry.registry.putBlob('team/tools', tar);
    await using daemon = await startDaemon(node);
    const target = await publishNew(daemon, 'tools');
    verifyVolume(target, artifacts.tools.shown);
    for (const record of records) verifyVolume(record.targetPath, artifacts[nameOf(record.reference)].shown);
    assert.doesNotMatch(daemon.output(), /damaged/);
  },
);

test(
  'the layout of a newer version is refused in one line, and its volumes stay',
  needs('root'),
  async () => {
    await using node = await testNode();
    const records = restore(node);
    const format = join(node.stateDir, 'format');
    writeFileSync(format, '2\n');
    await using daemon = await spawnDaemon(node);
    await waitUntil(daemon, () => !daemon.alive(), 'refused').catch(() => {});
    assert.equal(await daemon.end('SIGKILL'), exitCodes.invalid);
    const last = JSON.parse(daemon.output().trim().split('\n').at(-1) ?? '') as object;
    assert.partialDeepStrictEqual(last, {
      level: 'fatal',
      msg: `${node.stateDir} has layout version 2, and this program knows up to 1: run a newer one, or give it another --state-dir`,
    });
    assert.equal(readFileSync(format, 'utf8'), '2\n');
    for (const record of records) verifyVolume(record.targetPath, artifacts[nameOf(record.reference)].shown);
  },
);
