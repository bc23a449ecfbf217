import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

/** Seconds of user and system time, and the most resident memory of any one process, in MB. */
export type Usage = { readonly cpu: number; readonly peak: number };

/**
 * Runs a program to its end, by GNU time, which counts the program and the children that it waited for.
 *
 * @throws with its standard error if it fails.
 */
export async function runTimed(
  argv: readonly string[],
  options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv },
): Promise<Usage> {
  const { stderr } = await promisify(execFile)('time', ['--format=%U %S %M', ...argv], {
    ...options,
    maxBuffer: 1 << 26,
  });
  const [user, system, kilobytes] = (stderr.trimEnd().split('\n').at(-1) ?? '').split(' ').map(Number);
  return { cpu: Number(user) + Number(system), peak: (Number(kilobytes) * 1024) / 1e6 };
}

/**
 * Returns the user and system time of a running process with its threads, and the children that it waited for, in
 * seconds (proc_pid_stat(5), fields 14 to 17; 100 Hz).
 */
export function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks) / 100, 0);
}

/** Waits until processes have rested for a third of a second, at most ten. */
export async function untilRest(pids: readonly number[]): Promise<void> {
  const spent = (): number => pids.reduce((sum, pid) => sum + cpuOf(pid), 0);
  for (let before = -1, turn = 0; pids.length > 0 && turn < 30 && spent() > before; turn++) {
    before = spent();
    await sleep(333);
  }
}

/** Returns the most resident memory that a running process ever had, in MB. */
export function peakMemoryOf(pid: number): number {
  return statusOf(pid, 'VmHWM');
}

/** Returns the resident memory of a running process, in MB. */
export function residentMemoryOf(pid: number): number {
  return statusOf(pid, 'VmRSS');
}

function statusOf(pid: number, field: string): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return (Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1]) * 1024) / 1e6;
}

/** Returns the bytes that a process requested by read calls, of files, pipes or sockets (proc_pid_io(5), rchar). */
export function bytesReadBy(pid: number): number {
  return Number(/rchar: (\d+)/.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1]);
}
