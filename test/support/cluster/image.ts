import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import process from 'node:process';
import { mediaTypes, writeBlob, writeJson, writeLayoutIndex } from '../../tools/image/layout.ts';
import { runProgram } from '../os/program.ts';
import { toolPath } from '../project/tools.ts';

/** The name under which containerd knows the image of test pods, which no registry has. */
export const busyboxImage = 'docker.io/local/busybox:1';

/** Writes the images that the node has from the start as OCI archives to a directory; returns their paths. */
export function makeImages(directory: string, pause: string): readonly string[] {
  const archive = (name: string, image: string, config: object, fill: (root: string) => void): string => {
    const root = join(directory, name);
    mkdirSync(root, { recursive: true });
    fill(root);
    const path = join(directory, `${name}.tar`);
    writeArchive(root, path, image, config);
    rmSync(root, { recursive: true });
    return path;
  };
  return [
    archive('pause', pause, { Entrypoint: ['/sleep', '2147483647'] }, root =>
      copyFileSync(toolPath('busybox'), join(root, 'sleep')),
    ),
    archive('busybox', busyboxImage, { Cmd: ['sh'], Env: ['PATH=/bin'] }, fillBusybox),
  ];
}

function fillBusybox(root: string): void {
  for (const path of ['bin', 'etc', 'tmp']) mkdirSync(join(root, path));
  copyFileSync(toolPath('busybox'), join(root, 'bin/busybox'));
  const applets = runProgram(toolPath('busybox'), '--list').trim().split('\n');
  for (const applet of applets) if (applet !== 'busybox') symlinkSync('busybox', join(root, 'bin', applet));
}

/** An image of one layer, as an OCI layout in a tar. */
function writeArchive(root: string, path: string, name: string, config: object): void {
  const layout = `${root}.layout`;
  const tar = `${root}.layer`;
  execFileSync('tar', ['--owner=0', '--group=0', '--numeric-owner', '-C', root, '-cf', tar, '.']);
  writeImage(layout, [readFileSync(tar)], config, { 'io.containerd.image.name': name });
  rmSync(tar);
  const names = `s,^${basename(layout)}/,,`;
  execFileSync('tar', ['-C', dirname(layout), '--transform', names, '-cf', path, basename(layout)]);
  rmSync(layout, { recursive: true });
}

/** Writes an image of tars as an OCI layout to a directory; returns its digest. */
export function writeImage(
  layout: string,
  tars: readonly Buffer[],
  config: object = {},
  annotations: Readonly<Record<string, string>> = {},
): string {
  const layers = tars.map(tar => writeBlob(layout, 'application/vnd.oci.image.layer.v1.tar', tar));
  const platform = { architecture: process.arch === 'x64' ? 'amd64' : 'arm64', os: 'linux' } as const;
  const rootfs = { type: 'layers', diff_ids: layers.map(({ digest }) => digest) };
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: writeJson(layout, mediaTypes.config, { ...platform, config, rootfs }),
    layers,
  };
  const descriptor = writeJson(layout, mediaTypes.manifest, manifest);
  writeLayoutIndex(layout, { ...descriptor, platform, annotations });
  return descriptor.digest;
}
