import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { promisify } from 'node:util';

/** Seconds. `cpu` is user and system time of all processes that took part. */
export type Cost = { readonly wall: number; readonly cpu: number };

/** Measures a shell command with all its children. */
export async function timeCommand(command: string, cwd: string): Promise<Cost> {
  const script = `set -o pipefail; TIMEFORMAT='%R %U %S'; time { ${command} ; } >/dev/null 2>stderr || { cat stderr; exit 1; }`;
  const { stderr } = await promisify(execFile)('bash', ['-c', script], { cwd });
  const [wall = 0, user = 0, system = 0] = stderr.trim().split(' ').map(Number);
  return { wall, cpu: user + system };
}

/** Measures work that another process does for this one. */
export async function timeProcess(pid: number, work: () => Promise<unknown>): Promise<Cost> {
  const [cpu, start] = [cpuOf(pid), performance.now()];
  await work();
  return { wall: (performance.now() - start) / 1000, cpu: cpuOf(pid) - cpu };
}

/** Returns the user and system time of a process's threads, in seconds (proc_pid_stat(5), fields 14 and 15; 100 Hz). */
function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Returns the maximum resident memory of a process, in MB. */
export function peakMemoryOf(pid: number): number {
  const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return (Number(peak) * 1024) / 1e6;
}

/** Returns the resident memory of a process, in MB. */
export function residentMemoryOf(pid: number): number {
  const resident = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return (Number(resident) * 1024) / 1e6;
}

/** Returns the bytes that a process requested by read calls, of files, pipes or sockets (proc_pid_io(5), rchar). */
export function bytesReadBy(pid: number): number {
  return Number(/rchar: (\d+)/.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1]);
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
