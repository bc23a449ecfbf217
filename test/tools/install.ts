import { spawnSync } from 'node:child_process';
import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { findTool } from '../support/project/tools.ts';
import { programNames, programs, toolsFolder } from './table.ts';

const here = fileURLToPath(new URL('.', import.meta.url));
/** Without it the library of containers needs GnuPG's headers. */
const goFlags = '-tags=containers_image_openpgp';
const builtFrom = join(toolsFolder, 'built-from');

/**
 * Brings the programs of the table that are missing: packages by apt-get where that is possible, Go programs by the
 * go command. Never throws for what it cannot bring: the tests that need it say so by name.
 */
export function installTools(): void {
  installPackages();
  buildGoPrograms();
  const missing = programNames.filter(program => findTool(program) === undefined);
  if (missing.length > 0)
    console.error(`not installed, tests that need it cannot run: ${missing.join(', ')}`);
}

function installPackages(): void {
  const missing = programNames.filter(
    name => programs[name].from === 'debian' && findTool(name) === undefined,
  );
  if (missing.length === 0) return;
  if (process.getuid?.() !== 0) return complain(missing, 'only root can install packages');
  const packages = missing.map(name => programs[name].package);
  console.error(`installing ${packages.join(' ')}`);
  const install = ['apt-get', 'install', '--yes', '--no-install-recommends', '-qq', ...packages];
  if (run(install[0] ?? '', install.slice(1))) return;
  if (run('apt-get', ['update', '-qq']) && run('apt-get', install.slice(1))) return;
  complain(missing, 'apt-get failed');
}

/** All of them, in one go, whenever go.sum or a program of this folder differs from what they were built from. */
function buildGoPrograms(): void {
  const names = programNames.filter(name => programs[name].from === 'go');
  if (names.every(name => findTool(name) !== undefined) && isCurrent()) return;
  console.error(`building ${names.join(' ')} (minutes at first, then never again until they change)`);
  mkdirSync(toolsFolder, { recursive: true });
  const built = run('go', ['install', 'tool'], {
    cwd: here,
    env: { ...process.env, GOBIN: toolsFolder, GOFLAGS: goFlags },
  });
  if (built) writeFileSync(builtFrom, sources());
  else complain(names, 'go (1.26 or later) failed or is not there');
}

function isCurrent(): boolean {
  try {
    return readFileSync(builtFrom, 'utf8') === sources();
  } catch {
    return false;
  }
}

function sources(): string {
  const files = ['go.sum', ...globSync('*/*.go', { cwd: here }).sort()];
  return files.map(file => readFileSync(join(here, file), 'utf8')).join('');
}

function run(
  command: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {},
): boolean {
  const env = { ...(options.env ?? process.env), DEBIAN_FRONTEND: 'noninteractive' };
  return spawnSync(command, args, { ...options, env, stdio: ['ignore', 2, 2] }).status === 0;
}

function complain(missing: readonly string[], why: string): void {
  console.error(`cannot install ${missing.join(', ')}: ${why}`);
}

if (import.meta.main) installTools();
