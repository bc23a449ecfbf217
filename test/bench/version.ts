import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { toolPath } from '../support/project/tools.ts';
import { type Program, programs } from '../tools/table.ts';

/** The version of a program: of its Go module, or else what the program says. */
export function versionOf(program: Program): string {
  const source = programs[program];
  if (source.from === 'debian') return findVersion(spoken(program));
  const modules = readFileSync(new URL(`../tools/go/${source.module}/go.mod`, import.meta.url), 'utf8');
  return findModule(modules, source.package) ?? findVersion(spoken(program));
}

/** The version of the module in a go.mod that has a package. */
export function findModule(modules: string, path: string): string | undefined {
  const found = [...modules.matchAll(/^\t(\S+) v(\S+)/gm)]
    .filter(([, name]) => path === name || path.startsWith(`${name}/`))
    .toSorted(([, a = ''], [, b = '']) => b.length - a.length);
  return found[0]?.[2];
}

/** The first version in a text: 7.88.1 in `curl 7.88.1 (x86_64-pc-linux-gnu)`. */
export function findVersion(text: string): string {
  return /\d+\.\d+[\w.+-]*/.exec(text)?.[0] ?? 'unknown';
}

function spoken(program: Program): string {
  return spawnSync(toolPath(program), ['--version'], { encoding: 'utf8' }).stdout;
}
