import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildImage, readCommit } from '../../tools/image/build.ts';
import type { BuildKit } from '../../tools/image/buildkit.ts';
import { readLayoutDigest } from '../../tools/image/layout.ts';
import type { Architecture } from '../../tools/image/tree.ts';
import { temporaryDirectory } from '../os/temporary.ts';
import { standInBase } from './stand-in.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/**
 * Builds the image of the sources as they are, on a stand-in for its base, and writes it as an OCI layout into a
 * directory. Returns the digest: of an index, or of a manifest for one architecture.
 */
export async function buildStandInImage(
  kit: BuildKit,
  architectures: readonly Architecture[],
  into: string,
): Promise<string> {
  await using directory = await temporaryDirectory();
  return await buildCopy(kit, copyProject(join(directory.path, 'source'), '022'), architectures, into);
}

/** As buildStandInImage, from a copy of the project. */
export async function buildCopy(
  kit: BuildKit,
  source: string,
  architectures: readonly Architecture[],
  into: string,
): Promise<string> {
  const [commit, base] = [await readCommit(root), await standInBase(architectures)];
  await buildImage(kit, { source, commit, architectures, base }, into);
  return readLayoutDigest(into);
}

/** Copies what git has or would add, with the modes that a umask gives, and node_modules. Returns the directory. */
export function copyProject(to: string, umask: string): string {
  mkdirSync(to, { recursive: true });
  const list = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const files = execFileSync('git', list, { cwd: root, encoding: 'utf8' }).split('\0');
  const input = files.filter(path => path !== '' && existsSync(join(root, path))).join('\0');
  const copyFiles = 'umask "$0" && exec xargs -0 cp --parents --target-directory "$1"';
  execFileSync('sh', ['-c', copyFiles, umask, to], { cwd: root, input });
  // The build writes paths below node_modules into its output, so that it must not be a symlink.
  const copy = 'cp --archive --link node_modules "$0" 2>/dev/null || cp --archive node_modules "$0"';
  execFileSync('sh', ['-c', copy, to], { cwd: root });
  return to;
}
