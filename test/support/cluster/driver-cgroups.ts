import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cgroupRoot } from './machine.ts';

/** What a busy machine takes from the driver. */
export type StallClock = {
  /** Looks for the processes of the driver, which have a cgroup for each container. */
  readonly find: () => void;
  /** The milliseconds for which they were ready and waited for a CPU or the disk. */
  readonly read: () => number;
};

/** Of the driver in a machine with this directory of cgroups. It stays at 0 where the kernel counts no pressure. */
export function openStallClock(cgroup: string): StallClock {
  const directories = new Map<string, { readonly since: number; last: number }>();
  return {
    find() {
      for (const directory of driverCgroups(cgroup)) {
        if (directories.has(directory)) continue;
        const since = stallOf(directory) ?? 0;
        directories.set(directory, { since, last: since });
      }
    },
    read() {
      let sum = 0;
      for (const [directory, stall] of directories) {
        stall.last = stallOf(directory) ?? stall.last; // it is gone with its container
        sum += stall.last - stall.since;
      }
      return sum;
    },
  };
}

/** The cgroups of the containers that run the driver, in a machine with this directory of cgroups. */
export function driverCgroups(cgroup: string): readonly string[] {
  const found = globSync('/proc/[0-9]*/cmdline').flatMap(path => {
    if (!read(path).endsWith('\0serve\0')) return [];
    const own = /^0::(?<path>.*)$/m.exec(read(path.replace(/cmdline$/, 'cgroup')))?.groups?.['path'] ?? '';
    const directory = join(cgroupRoot(), own);
    return directory.startsWith(`${cgroup}/`) ? [directory] : [];
  });
  return [...new Set(found)];
}

/** The seconds of CPU time of all processes that a cgroup and those below it ever had. */
export function cpuOfCgroup(directory: string): number {
  const us = /^usage_usec (?<us>\d+)$/m.exec(read(join(directory, 'cpu.stat')))?.groups?.['us'];
  return Number(us ?? 0) / 1e6;
}

/** As `some` counts it: the time for which at least one process waited. */
function stallOf(directory: string): number | undefined {
  const totals = ['cpu', 'io'].map(what => {
    const total = /^some .*total=(?<us>\d+)$/m.exec(read(join(directory, `${what}.pressure`)));
    return total?.groups === undefined ? undefined : Number(total.groups['us']) / 1000;
  });
  return totals.reduce((sum, ms) => (sum === undefined || ms === undefined ? undefined : sum + ms));
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // a process or a cgroup has ended
  }
}
