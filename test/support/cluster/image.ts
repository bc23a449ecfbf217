import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, copyFileSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { runProgram } from '../os/program.ts';
import { toolPath } from '../project/tools.ts';

const project = fileURLToPath(new URL('../../..', import.meta.url));

/** The name under which containerd knows an image, which no registry has. */
export const driverImage = 'docker.io/local/oci-artifact-csi:1';
export const busyboxImage = 'docker.io/local/busybox:1';

/** Writes the images of a cluster as OCI archives to a directory; returns their paths. */
export function makeImages(folder: string, pause: string): readonly string[] {
  const archive = (name: string, image: string, config: object, fill: (root: string) => void): string => {
    const root = join(folder, name);
    mkdirSync(root, { recursive: true });
    fill(root);
    const path = join(folder, `${name}.tar`);
    writeArchive(root, path, image, config);
    rmSync(root, { recursive: true });
    return path;
  };
  return [
    archive('pause', pause, { Entrypoint: ['/sleep', '2147483647'] }, root =>
      copyFileSync(toolPath('busybox'), join(root, 'sleep')),
    ),
    archive('busybox', busyboxImage, { Cmd: ['sh'], Env: ['PATH=/bin'] }, fillBusybox),
    archive('driver', driverImage, driverConfig, fillDriver),
  ];
}

function fillBusybox(root: string): void {
  for (const path of ['bin', 'etc', 'tmp']) mkdirSync(join(root, path));
  copyFileSync(toolPath('busybox'), join(root, 'bin/busybox'));
  const applets = runProgram(toolPath('busybox'), '--list').trim().split('\n');
  for (const applet of applets) if (applet !== 'busybox') symlinkSync('busybox', join(root, 'bin', applet));
}

const driverConfig = {
  Entrypoint: ['/nodejs/bin/node', '/app/dist/main.js'],
  Cmd: ['serve'],
  Env: ['PATH=/nodejs/bin'],
};

/** Node, the libraries that it links, the built program, and koffi. */
function fillDriver(root: string): void {
  const copy = (from: string, to: string): void =>
    cpSync(from, join(root, to), { recursive: true, dereference: true });
  runProgram(process.execPath, join(project, 'test/tools/build.ts'));
  copy(process.execPath, 'nodejs/bin/node');
  for (const library of runProgram('ldd', process.execPath).match(/\/\S+/g) ?? []) copy(library, library);
  copy(join(project, 'dist'), 'app/dist');
  const koffi = join(project, 'node_modules/koffi');
  for (const part of ['package.json', 'index.js', 'src/koffi'])
    copy(join(koffi, part), join('app/node_modules/koffi', part));
  copy(join(project, 'node_modules/@koromix'), 'app/node_modules/@koromix');
}

/** An image of one layer, as an OCI layout in a tar. */
function writeArchive(root: string, path: string, name: string, config: object): void {
  const layout = `${root}.layout`;
  const blobs = join(layout, 'blobs/sha256');
  mkdirSync(blobs, { recursive: true });
  const put = (mediaType: string, bytes: Buffer) => {
    const hex = createHash('sha256').update(bytes).digest('hex');
    writeFileSync(join(blobs, hex), bytes);
    return {
      mediaType: `application/vnd.oci.image.${mediaType}`,
      digest: `sha256:${hex}`,
      size: bytes.length,
    };
  };
  const json = (mediaType: string, value: object) => put(mediaType, Buffer.from(JSON.stringify(value)));

  const tar = `${root}.layer`;
  const order = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'];
  execFileSync('tar', [...order, '-C', root, '-cf', tar, '.']);
  const layer = put('layer.v1.tar', readFileSync(tar));
  rmSync(tar);
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const platform = { architecture, os: 'linux' };
  const rootfs = { type: 'layers', diff_ids: [layer.digest] };
  const manifest = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: json('config.v1+json', { ...platform, config, rootfs }),
    layers: [layer],
  };
  const entry = {
    ...json('manifest.v1+json', manifest),
    platform,
    annotations: { 'io.containerd.image.name': name },
  };
  writeFileSync(join(layout, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [entry] }));
  writeFileSync(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  mkdirSync(dirname(path), { recursive: true });
  execFileSync('tar', [
    '-C',
    dirname(layout),
    '--transform',
    `s,^${basename(layout)}/,,`,
    '-cf',
    path,
    basename(layout),
  ]);
  rmSync(layout, { recursive: true });
}
