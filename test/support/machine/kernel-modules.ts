import { execFileSync } from 'node:child_process';
import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { toolPath } from '../project/tools.ts';

/**
 * Writes modules of an unpacked kernel of Debian, with those that they need, to a directory. Their names there sort in
 * the order in which they can be loaded. What is not there is a part of the kernel.
 */
export function writeModules(kernel: string, names: readonly string[], into: string): void {
  const paths = new Map(globSync('**/*.ko{,.xz}', { cwd: kernel }).map(path => [nameOf(path), path]));
  const seen = new Set<string>();
  let written = 0;
  mkdirSync(into, { recursive: true });
  const write = (name: string): void => {
    const path = paths.get(name);
    if (path === undefined || seen.has(name)) return;
    seen.add(name);
    const bytes = readModule(join(kernel, path));
    const needs = /\0depends=(?<names>[^\0]*)\0/.exec(bytes.toString('latin1'))?.groups?.['names'] ?? '';
    for (const need of needs.split(',')) write(need);
    written += 1;
    writeFileSync(join(into, `${String(written).padStart(3, '0')}-${name}.ko`), bytes);
  };
  for (const name of names) write(name);
}

function readModule(path: string): Buffer {
  if (path.endsWith('.ko')) return readFileSync(path);
  return execFileSync(toolPath('xz'), ['--decompress', '--stdout', path], { maxBuffer: 64 * 1024 * 1024 });
}

/** Modules have underscores where their files may have hyphens. */
function nameOf(path: string): string {
  return basename(path)
    .replace(/\.ko(\.xz)?$/, '')
    .replaceAll('-', '_');
}
