import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { listMounts, type MountLine, unmountBelow } from './mounts.ts';

/** What a run of tests must not leave behind, a message each. */
export type Leftovers = readonly string[];

/**
 * Compares the machine with its state before the tests, removes what they left, and reports it: new mounts (except
 * those of other runs in their own temporary directories), files in the run's temporary directory, and processes that
 * inherited it as TMPDIR.
 */
export function sweep(directory: string, shared: string, before: readonly MountLine[]): Leftovers {
  const processes = processesOf(directory);
  for (const { pid } of processes) process.kill(pid, 'SIGKILL');
  const known = new Set(before.map(({ id, mountPoint }) => `${id} ${mountPoint}`));
  const mounts = listMounts()
    .filter(({ id, mountPoint }) => !known.has(`${id} ${mountPoint}`))
    .filter(({ mountPoint }) => isBelow(mountPoint, directory) || !isBelow(mountPoint, shared));
  unmountBelow(directory);
  const files = readdirSync(directory).map(name => join(directory, name));
  return [
    ...processes.map(({ pid, command }) => `process ${pid}: ${command}`),
    ...mounts.map(({ mountPoint, type }) => `mount ${mountPoint} (${type})`),
    ...files.map(path => `file ${path}`),
  ];
}

function isBelow(path: string, directory: string): boolean {
  return path.startsWith(`${directory}/`);
}

/** The processes of this run, by the TMPDIR of their start, except zombies and this one. */
function processesOf(directory: string): readonly { readonly pid: number; readonly command: string }[] {
  return readdirSync('/proc')
    .map(Number)
    .filter(pid => Number.isInteger(pid) && pid !== process.pid)
    .filter(pid => read(`/proc/${pid}/environ`).split('\0').includes(`TMPDIR=${directory}`))
    .map(pid => ({ pid, command: read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim() }));
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // it ended meanwhile
  }
}
