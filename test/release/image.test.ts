import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { after, test } from 'node:test';
import { daemonOptions } from '../../src/util/node-options.ts';
import { startContainer, unpackImage } from '../support/image/container.ts';
import { standInBase, standInBuilder } from '../support/image/stand-in.ts';
import { buildCopy, buildStandInImage, copyProject } from '../support/image/stand-in-image.ts';
import { waitUntil } from '../support/node/child.ts';
import { layoutOf } from '../support/oci/layout.ts';
import { openNamespace } from '../support/os/namespace.ts';
import { runProgram } from '../support/os/program.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { needs, toolPath } from '../support/project/tools.ts';
import { buildImageInContainer, readCommit } from '../tools/image/build.ts';
import { startBuildKit } from '../tools/image/buildkit.ts';
import {
  type Descriptor,
  readConfig,
  readIndex,
  readLayoutDigest,
  readManifest,
} from '../tools/image/layout.ts';
import type { Architecture } from '../tools/image/tree.ts';

const architectures: readonly Architecture[] = ['amd64', 'arm64'];
const own: Architecture = process.arch === 'x64' ? 'amd64' : 'arm64';
const tools = needs('root', 'runc', 'buildkitd', 'buildctl');

const directory = await temporaryDirectory();
after(() => directory[Symbol.asyncDispose]());
const layout = join(directory.path, 'layout');
/** The digest of the index; empty on a machine that cannot build. */
const built = tools.skip === false ? await build() : '';

async function build(): Promise<string> {
  await using kit = await startBuildKit();
  return await buildStandInImage(kit, architectures, layout);
}

function manifestOf(architecture: Architecture): Descriptor {
  const manifest = readIndex(layout, built).get(architecture);
  assert.ok(manifest !== undefined);
  return manifest;
}

/** The filesystem of a container of the image, unpacked once. */
function unpack(architecture: Architecture): string {
  const filesystem = join(directory.path, architecture);
  if (!existsSync(filesystem)) unpackImage(layout, manifestOf(architecture).digest, filesystem);
  return filesystem;
}

test(
  'the image is the same from another directory, with another umask, other times and no cache',
  tools,
  async () => {
    const source = copyProject(join(directory.path, 'another-directory/of-the-project'), '077');
    const outside = ['-path', '*/node_modules', '-prune', '-o'];
    execFileSync('find', [source, ...outside, '-exec', 'touch', '--date=2001-02-03', '{}', '+']);
    const zone = process.env['TZ'];
    process.env['TZ'] = 'Pacific/Chatham';
    try {
      await using kit = await startBuildKit();
      assert.equal(await buildCopy(kit, source, architectures, join(directory.path, 'other')), built);
    } finally {
      if (zone === undefined) delete process.env['TZ'];
      else process.env['TZ'] = zone;
    }
  },
);

test(
  'npm ci in a container gives the same image',
  needs('busybox', 'root', 'runc', 'buildkitd'),
  async () => {
    const source = copyProject(join(directory.path, 'sources'), '022');
    const [commit, base, builder] = [
      await readCommit(process.cwd()),
      await standInBase(architectures),
      await standInBuilder(own),
    ];
    await using kit = await startBuildKit();
    const into = join(directory.path, 'in-container');
    const ca = process.env['NODE_EXTRA_CA_CERTS'];
    await buildImageInContainer(kit, { source, commit, architectures, base }, builder, ca, into);
    assert.equal(readLayoutDigest(into), built);
  },
);

test('the image adds the program to its base, and nothing else', tools, async context => {
  const base = await standInBase(architectures);
  for (const architecture of architectures) {
    const manifest = readManifest(layout, manifestOf(architecture).digest);
    const below = readManifest(
      base.layout,
      readIndex(base.layout, base.digest).get(architecture)?.digest ?? '',
    );
    const [first, ...added] = manifest.layers;
    assert.ok(first !== undefined);
    assert.equal(first.digest, below.layers[0]?.digest, 'the layer of the base is unchanged');
    const bytes = added.reduce((sum, { size }) => sum + size, 0);
    context.diagnostic(
      `${architecture}: ${bytes + first.size} bytes to pull, ${bytes} of them beside the base`,
    );
    assert.ok(bytes < 2.5e6 && bytes + first.size < 66e6, `${bytes} bytes`);
  }
  const filesystem = unpack(own);
  const files = globSync('{app,usr/local}/**', { cwd: filesystem, withFileTypes: true })
    .filter(entry => !entry.isDirectory())
    .map(entry => join(entry.parentPath, entry.name).slice(filesystem.length + 1))
    .toSorted();
  const cpu = own === 'amd64' ? 'x64' : 'arm64';
  assert.deepEqual(
    files.filter(path => !path.startsWith('app/dist/')),
    [
      'app/LICENSE',
      `app/node_modules/@koromix/koffi-linux-${cpu}/index.js`,
      `app/node_modules/@koromix/koffi-linux-${cpu}/linux_${cpu}/koffi.node`,
      `app/node_modules/@koromix/koffi-linux-${cpu}/package.json`,
      'app/node_modules/koffi/LICENSE.txt',
      'app/node_modules/koffi/index.js',
      'app/node_modules/koffi/package.json',
      'app/node_modules/koffi/src/koffi/index.js',
      'app/node_modules/koffi/src/koffi/src/static.js',
      'usr/local/bin/oci-artifact-csi',
    ],
  );
  const unexpected = files.filter(path => path.startsWith('app/dist/') && !/\.(?:js|txt|json)$/.test(path));
  assert.deepEqual(unexpected, [], 'no source maps');
  assert.deepEqual(globSync('{bin,sbin,usr/*bin,usr/local/*bin}/*sh', { cwd: filesystem }), [], 'no shell');
});

test(
  'the image says what it is and from which commit, and every file has the time of the commit',
  tools,
  async () => {
    const commit = await readCommit(process.cwd());
    const { config, created } = readConfig(layout, readManifest(layout, manifestOf(own).digest));
    assert.equal(Date.parse(created), commit.epoch * 1000);
    const { options, variables } = daemonOptions;
    assert.deepEqual(config.Entrypoint, ['/nodejs/bin/node', ...options, '/app/dist/main.js']);
    for (const [name, value] of Object.entries(variables))
      assert.ok(config.Env.includes(`${name}=${value}`), name);
    assert.deepEqual(config.Cmd, ['serve']);
    assert.equal(config.User, '0');
    assert.equal(config.Labels?.['org.opencontainers.image.revision'], commit.revision);
    const filesystem = unpack(own);
    for (const path of ['app', 'app/dist/main.js', 'app/node_modules/koffi/index.js'])
      assert.equal(statSync(join(filesystem, path)).mtimeMs, commit.epoch * 1000, path);
    assert.equal(readlinkSync(join(filesystem, 'usr/local/bin/oci-artifact-csi')), '/app/dist/main.js');
  },
);

test('a container of the image serves from a read-only filesystem, and ends on SIGTERM', tools, async () => {
  const filesystem = unpack(own);
  const node = join(directory.path, 'node');
  const volumes = {
    '/csi': join(node, 'csi'),
    '/var/lib/kubelet': join(node, 'kubelet'),
    '/var/lib/oci-artifact-csi': join(node, 'state'),
  };
  await using host = await openNamespace('private');
  for (const path of Object.values(volumes)) mkdirSync(path, { recursive: true });
  host.run('mount', '-t', 'tmpfs', 'tmpfs', volumes['/var/lib/kubelet']);
  host.run('mount', '--make-shared', volumes['/var/lib/kubelet']);
  host.run(
    'mkdir',
    '-p',
    join(volumes['/var/lib/kubelet'], 'plugins_registry'),
    join(volumes['/var/lib/kubelet'], 'pods'),
  );
  writeFileSync(
    join(volumes['/csi'], 'tiny.tar'),
    await layoutOf([{ name: 'weights', bytes: Buffer.from('abc') }]),
  );

  const config = readConfig(layout, readManifest(layout, manifestOf(own).digest));
  const env = {
    OCI_ARTIFACT_HTTP_LISTEN: '127.0.0.1:0',
    OCI_ARTIFACT_DISK_MAX: '100',
    OCI_ARTIFACT_CACHE_HIGH: '100',
  };
  await using container = await startContainer(filesystem, config, {
    directory: node,
    host,
    args: ['serve', '--register'],
    env,
    volumes,
  });
  const run = (...args: string[]): string => container.exec('oci-artifact-csi', ...args);
  await waitUntil(container, () => existsSync(join(volumes['/csi'], 'csi.sock')), 'serving');
  run('load', '/csi/tiny.tar', 'registry.test/models/tiny:1');
  run('mount', '--pull-policy', 'Never', 'registry.test/models/tiny:1', '/var/lib/kubelet/pods/tiny');
  const target = join(volumes['/var/lib/kubelet'], 'pods/tiny');
  assert.equal(host.run('cat', join(target, 'weights')), 'abc', 'the host sees the volume');
  assert.throws(() => host.run('touch', join(target, 'new')), /Read-only file system/);
  assert.match(run('volumes'), /\/var\/lib\/kubelet\/pods\/tiny/);
  assert.throws(() => container.exec('/bin/sh', '-c', 'true'), /no such file/);
  const write = "require('node:fs').writeFileSync('/app/new', '')";
  assert.throws(() => container.exec('/nodejs/bin/node', '--eval', write), /EROFS/);
  run('unmount', '/var/lib/kubelet/pods/tiny');
  assert.throws(() => host.run('stat', target), /No such file/);
  assert.equal(await container.end('SIGTERM'), 0);
});

test('the image for arm64 starts under emulation', {
  ...needs('root', 'runc', 'buildkitd', 'buildctl', 'qemu-aarch64-static'),
}, () => {
  const filesystem = unpack('arm64');
  copyFileSync(toolPath('qemu-aarch64-static'), join(filesystem, 'qemu'));
  const run = (...args: string[]): string =>
    runProgram('chroot', filesystem, '/qemu', '/nodejs/bin/node', ...args);
  assert.match(run('/app/dist/main.js', '--version'), /^\d+\.\d+\.\d+\n$/);
  const native =
    "const { default: koffi } = await import('/app/node_modules/koffi/index.js'); console.log(koffi.load('libc.so.6').func('int getppid()')() >= 0)";
  assert.equal(run('--input-type=module', '--eval', native), 'true\n');
});
