import { globSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Architecture } from '../../tools/image/tree.ts';
import { runProgram } from '../os/program.ts';

/**
 * Downloads packages of a suite of Debian for an architecture, from the mirror that this machine has configured. The
 * state of apt stays as it is: lists and cache are below `directory`. Returns the paths of the packages, sorted.
 */
export function downloadDebianPackages(
  architecture: Architecture,
  names: readonly string[],
  directory: string,
  suite = 'trixie',
): readonly string[] {
  const apt = join(directory, 'apt');
  for (const made of ['lists/partial', 'cache/archives/partial', 'packages'])
    mkdirSync(join(apt, made), { recursive: true });
  writeFileSync(join(apt, 'status'), '');
  const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
  writeFileSync(join(apt, 'sources.list'), `deb [signed-by=${keyring}] ${findMirror()} ${suite} main\n`);
  const options = [
    `APT::Architecture=${architecture}`,
    `APT::Architectures::=${architecture}`,
    'APT::Sandbox::User=root', // the directory is closed to others
    'Acquire::Languages=none',
    `Dir::Etc::SourceList=${join(apt, 'sources.list')}`,
    'Dir::Etc::SourceParts=/dev/null',
    `Dir::State::Lists=${join(apt, 'lists')}`,
    `Dir::State::status=${join(apt, 'status')}`,
    `Dir::Cache=${join(apt, 'cache')}`,
  ].flatMap(option => ['--option', option]);
  runProgram('apt-get', ...options, '-qq', 'update');
  const into = join(apt, 'packages');
  runProgram('sh', '-c', 'cd "$0" && exec "$@"', into, 'apt-get', ...options, '-qq', 'download', ...names);
  return globSync('*.deb', { cwd: into })
    .toSorted()
    .map(name => join(into, name));
}

/** Unpacks packages that were downloaded into a directory. */
export function unpackDebianPackages(paths: readonly string[], into: string): void {
  mkdirSync(into, { recursive: true });
  for (const path of paths) {
    const unpack = 'dpkg-deb --fsys-tarfile "$0" | tar -x -C "$1" --keep-directory-symlink --no-same-owner';
    runProgram('sh', '-ec', unpack, path, into);
  }
}

function findMirror(): string {
  const lines = runProgram(
    'apt-get',
    'indextargets',
    '--format',
    '$(LABEL) $(REPO_URI)',
    'Created-By: Packages',
  );
  const uri = /^Debian (\S+)$/m.exec(lines)?.[1];
  if (uri !== undefined) return uri;
  throw new Error('no mirror of Debian is configured on this machine, or "apt-get update" has not run yet');
}
