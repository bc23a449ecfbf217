import { appendFileSync, readFileSync } from 'node:fs';
import { relative } from 'node:path';
import process from 'node:process';

/**
 * What files of tests cost. With this file in `node --import`, the process of a file appends its CPU time at its end to
 * the file that the variable names.
 */
export const timesVariable = 'OCI_ARTIFACT_TEST_TIMES';

/** The CPU seconds of a process and of every process that it and its children waited for. */
type CpuTime = { readonly file: string; readonly cpu: number };

/** The seconds that a file took. */
export type FileTime = { readonly file: string; readonly wall: number };

/** Of one second, on each architecture of Linux. */
const ticks = 100;

/** The fields utime, stime, cutime and cstime of proc_pid_stat(5). */
function cpuSeconds(): number {
  const stat = readFileSync('/proc/self/stat', 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0) / ticks;
}

/** A line for each file, by CPU time, and one for all of them. `written` is what the processes appended. */
export function formatTimes(root: string, walls: readonly FileTime[], written: string): readonly string[] {
  const lines = written.split('\n').filter(line => line !== '');
  const cpus = new Map(lines.map(line => JSON.parse(line) as CpuTime).map(({ file, cpu }) => [file, cpu]));
  const files = walls.map(({ file, wall }) => ({
    name: relative(root, file),
    wall,
    cpu: cpus.get(file) ?? 0,
  }));
  const sum = (of: 'wall' | 'cpu'): number => files.reduce((total, file) => total + file[of], 0);
  return [
    ...files.toSorted((a, b) => b.cpu - a.cpu),
    { name: 'all files', wall: sum('wall'), cpu: sum('cpu') },
  ].map(({ name, wall, cpu }) => `${seconds(wall)} s ${seconds(cpu)} s of CPU  ${name}`);
}

function seconds(value: number): string {
  return value.toFixed(1).padStart(7);
}

const path = process.env[timesVariable];
const file = process.argv[1];
if (path !== undefined && file !== undefined) {
  process.on('exit', () => {
    appendFileSync(path, `${JSON.stringify({ file, cpu: cpuSeconds() } satisfies CpuTime)}\n`);
  });
}
