import { readdirSync, readFileSync } from 'node:fs';

/** The milliseconds of CPU time of this process, which do not depend on other processes. */
export function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** The milliseconds for which the threads of this process were ready and waited for a CPU, all together. */
export function cpuWait(): number {
  const waits = readdirSync('/proc/self/task').map(thread => waitOf(`/proc/self/task/${thread}/schedstat`));
  return waits.reduce((sum, wait) => sum + wait, 0);
}

/** The same of the main thread of a process alone. */
export function cpuWaitOf(pid: number): number {
  return waitOf(`/proc/${pid}/schedstat`);
}

/** The second field: nanoseconds on a run queue. */
function waitOf(path: string): number {
  try {
    return Number(readFileSync(path, 'utf8').split(' ')[1] ?? 0) / 1e6;
  } catch {
    return 0; // the thread has ended
  }
}
