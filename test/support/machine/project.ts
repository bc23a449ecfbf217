import { cpSync, mkdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readIndex } from '../../tools/image/layout.ts';
import type { Architecture } from '../../tools/image/tree.ts';
import { unpackImage } from '../image/container.ts';
import { downloadDebianPackages, unpackDebianPackages } from '../image/debian.ts';
import { standInBase } from '../image/stand-in.ts';
import { main, mainVariable } from '../node/main.ts';
import { runProgram } from '../os/program.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
/** umount of busybox cannot end a mount by its name. */
const packages = ['mount', 'libmount1', 'libblkid1', 'libselinux1', 'libpcre2-8-0'];

/** Where a machine has the project. */
const projectDirectory = '/project';

/** What a machine needs before it runs tests of the project, as shell commands. */
export const projectScript: string = `
cd ${projectDirectory}
mkdir /disk/tmp
export TMPDIR=/disk/tmp NODE_COMPILE_CACHE=/disk/compiled ${mainVariable}=${projectDirectory}/.tools/main/main.js
`;

/** Writes a filesystem with Node, the sources, the packages that they import, and the program that tests start. */
export async function writeProject(
  architecture: Architecture,
  filesystem: string,
  directory: string,
): Promise<void> {
  const { layout, digest } = await standInBase([architecture]);
  unpackImage(layout, readIndex(layout, digest).get(architecture)?.digest ?? '', filesystem);
  unpackDebianPackages(downloadDebianPackages(architecture, packages, join(directory, 'mount')), filesystem);
  const project = join(filesystem, projectDirectory);
  mkdirSync(project);
  for (const path of ['package.json', 'proto', 'src', 'test', ...listPackages()])
    cpSync(join(root, path), join(project, path), { recursive: true, filter: isNeeded });
  cpSync(dirname(main), join(project, '.tools/main'), { recursive: true });
}

/** The packages of the program, without the one of Node. */
function listPackages(): readonly string[] {
  const listed = runProgram('npm', '--prefix', root, 'ls', '--omit=dev', '--all', '--parseable');
  const paths = listed.split('\n').map(path => relative(root, path));
  return paths.filter(path => path.startsWith('node_modules/') && !path.includes('node-linux-'));
}

const isNeeded = (path: string): boolean => !/\.(map|d\.[cm]?ts)$/.test(path);
