import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import process from 'node:process';

/** Where it was measured. */
export type Machine = {
  readonly cpu: string;
  readonly cores: number;
  /** In GB. */
  readonly memory: number;
  readonly kernel: string;
  readonly node: string;
  readonly isVirtual: boolean;
  /** The load average of the last minute, when the benchmark began. */
  readonly load: number;
};

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memory: Math.round(totalmem() / 1e9),
    kernel: release(),
    node: process.versions.node,
    isVirtual: /^flags\s.*\bhypervisor\b/m.test(readFileSync('/proc/cpuinfo', 'utf8')),
    load: Math.round((loadavg()[0] ?? 0) * 10) / 10,
  };
}
