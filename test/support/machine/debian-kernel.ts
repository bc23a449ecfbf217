import { cpSync, globSync, mkdirSync, renameSync } from 'node:fs';
import { basename, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import type { Architecture } from '../../tools/image/tree.ts';
import { downloadDebianPackages, unpackDebianPackages } from '../image/debian.ts';
import { runProgram } from '../os/program.ts';

/** A kernel for virtual machines: a package of a suite of Debian. `linux-image-cloud-…` is the newest of its suite. */
export type DebianKernel = {
  readonly architecture: Architecture;
  readonly suite: string;
  readonly package: string;
};

const kept = fileURLToPath(new URL('../../../.tools/kernels', import.meta.url));

/** Unpacks a kernel and its modules. The packages are kept in .tools/kernels. Returns the path of the kernel. */
export function unpackKernel(kernel: DebianKernel, into: string, directory: string): string {
  for (let names = [kernel.package]; names.length > 0; ) {
    const paths = names.map((name, at) => keep(kernel, name, join(directory, `${names.length}-${at}`)));
    unpackDebianPackages(paths, into);
    names = paths.flatMap(partsOf);
  }
  const [image] = globSync('{boot/vmlinuz-*,usr/lib/modules/*/vmlinuz}', { cwd: into });
  if (image === undefined) throw new Error(`${kernel.package} of ${kernel.suite} has no kernel`);
  return join(into, image);
}

/** A package that names no version is asked for each time. */
function keep({ architecture, suite }: DebianKernel, name: string, directory: string): string {
  mkdirSync(kept, { recursive: true });
  const [found] = /-\d/.test(name) ? globSync(`${name}_*_${architecture}.deb`, { cwd: kept }) : [];
  if (found !== undefined) return join(kept, found);
  const [path = ''] = downloadDebianPackages(architecture, [name], join(directory, suite), suite);
  const to = join(kept, basename(path));
  cpSync(path, `${to}.${process.pid}`);
  renameSync(`${to}.${process.pid}`, to);
  return to;
}

/** The packages with the kernel itself and its modules, which a package needs. */
function partsOf(path: string): readonly string[] {
  const needs = runProgram('dpkg-deb', '--field', path, 'Depends').match(
    /\blinux-(image|binary|modules)-\S+/g,
  );
  return (needs ?? []).filter(name => /-\d/.test(name));
}
