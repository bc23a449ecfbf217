import { spawnSync } from 'node:child_process';
import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { findTool } from '../support/project/tools.ts';

import {
  type GoModule,
  goModules,
  type Program,
  programs,
  programsOf,
  type ToolGroup,
  toolGroups,
  toolsDirectory,
} from './table.ts';

const modulesDirectory = fileURLToPath(new URL('go', import.meta.url));

/**
 * Brings the programs of a group that are missing: packages by apt-get where that is possible, Go programs by the go
 * command. Never throws for what it cannot bring: the tests that need it say so by name.
 */
export function installTools(group: ToolGroup): void {
  installPackages(group);
  for (const [name, module] of Object.entries(goModules)) {
    if (module.group === group) buildGoPrograms(name as GoModule);
  }
  const missing = programsOf(group).filter(program => findTool(program) === undefined);
  if (missing.length > 0)
    console.error(`not installed, tests that need it cannot run: ${missing.join(', ')}`);
}

function installPackages(group: ToolGroup): void {
  const missing = programsOf(group).filter(
    name => programs[name].from === 'debian' && findTool(name) === undefined,
  );
  if (missing.length === 0) return;
  if (process.getuid?.() !== 0) return complain(missing, 'only root can install packages');
  if (!aptInstall([...new Set(missing.map(name => programs[name].package))]))
    complain(missing, 'apt-get failed');
}

function aptInstall(packages: readonly string[]): boolean {
  console.error(`installing ${packages.join(' ')}`);
  const args = ['install', '--yes', '--no-install-recommends', '-qq', ...packages];
  return run('apt-get', args) || (run('apt-get', ['update', '-qq']) && run('apt-get', args));
}

/**
 * All programs of a module, in one go, whenever go.sum or a program of its directory differs from what they were built
 * from.
 */
function buildGoPrograms(module: GoModule): void {
  const directory = join(modulesDirectory, module);
  const names = programsOf(goModules[module].group).filter(name => {
    const source = programs[name];
    return source.from === 'go' && source.module === module;
  });
  if (names.every(name => findTool(name) !== undefined) && isCurrent(module, directory)) return;
  console.error(`building ${names.join(' ')} (minutes at first, then never again until they change)`);
  const builtFrom = stampOf(module);
  for (const made of [toolsDirectory, dirname(builtFrom)]) mkdirSync(made, { recursive: true });
  const { args, env, libraries } = goModules[module];
  if (libraries !== undefined && !aptInstall(libraries)) return complain(names, 'apt-get failed');
  // Without -buildvcs=false, go asks git about the checkout, and fails if another user owns it.
  const built = run('go', ['install', '-buildvcs=false', ...args, 'tool'], {
    cwd: directory,
    env: { ...process.env, ...env, GOBIN: toolsDirectory },
  });
  if (built) writeFileSync(builtFrom, sources(module, directory));
  else complain(names, 'go (1.26 or later) failed or is not there');
}

function isCurrent(module: GoModule, directory: string): boolean {
  try {
    return readFileSync(stampOf(module), 'utf8') === sources(module, directory);
  } catch {
    return false;
  }
}

/** The file that records what the programs of a module were built from. */
function stampOf(module: GoModule): string {
  return join(toolsDirectory, '../built-from', module);
}

function sources(module: GoModule, directory: string): string {
  const files = ['go.mod', 'go.sum', ...globSync('**/*.go', { cwd: directory }).toSorted()];
  const { args, env } = goModules[module];
  return [
    JSON.stringify({ args, env }),
    ...files.map(file => readFileSync(join(directory, file), 'utf8')),
  ].join('');
}

function run(
  command: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {},
): boolean {
  const env = { ...(options.env ?? process.env), DEBIAN_FRONTEND: 'noninteractive' };
  return spawnSync(command, args, { ...options, env, stdio: ['ignore', 2, 2] }).status === 0;
}

function complain(missing: readonly Program[], why: string): void {
  console.error(`cannot install ${missing.join(', ')}: ${why}`);
}

if (import.meta.main) {
  const groups = process.argv.slice(2) as ToolGroup[];
  const known: readonly string[] = toolGroups;
  if (groups.some(group => !known.includes(group))) {
    const isHelp = process.argv.some(word => word === '--help' || word === '-h');
    console[isHelp ? 'log' : 'error'](`usage: npm run tools [-- GROUP...]; a group is ${known.join(', ')}`);
    process.exit(isHelp ? 0 : 2);
  }
  for (const group of groups.length > 0 ? groups : (['test'] as const)) installTools(group);
}
