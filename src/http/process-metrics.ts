import { readdir } from 'node:fs/promises';
import { Counter, Gauge, type Registry } from 'prom-client';

/** The state of the process that each scrape reads, also while it waits as a standby. */
export type ObservedProcess = {
  /** A standby waits for another daemon to end; until it is open there are no figures of the node. */
  phase(): 'standby' | 'opening' | 'open';
  /** Log lines dropped since the start. */
  droppedLines(): number;
  /** Failures of work in the background since the start that nothing handled. */
  unhandledRejections(): number;
};

/** Gauges of this process. The returned function reads the state and sets all of them. */
export function observeProcess(registry: Registry, observed: ObservedProcess): () => Promise<void> {
  const registers = [registry];
  const gauge = (name: string, help: string): Gauge => new Gauge({ name, help, registers });

  const standby = gauge(
    'oci_artifact_csi_standby',
    'Whether this daemon is a standby that waits for another one to end: 1 or 0',
  );
  const cpu = new Counter({
    name: 'process_cpu_seconds_total',
    help: 'User and system CPU time in seconds',
    registers,
  });
  const dropped = new Counter({
    name: 'oci_artifact_csi_log_lines_dropped_total',
    help: 'Log lines that were dropped because nothing read them',
    registers,
  });
  const unhandled = new Counter({
    name: 'oci_artifact_csi_unhandled_rejections_total',
    help: 'Failures of work in the background that nothing handled: each is a bug, and in the log',
    registers,
  });
  const resident = gauge('process_resident_memory_bytes', 'Resident memory');
  const descriptors = gauge('process_open_fds', 'Open file descriptors');
  const start = gauge('process_start_time_seconds', 'Start of the process since 1970');
  start.set(Math.round(Date.now() / 1000 - process.uptime()));

  return async () => {
    const { length } = await readdir('/proc/self/fd');
    const { user, system } = process.cpuUsage();
    standby.set(observed.phase() === 'standby' ? 1 : 0);
    dropped.reset();
    dropped.inc(observed.droppedLines());
    unhandled.reset();
    unhandled.inc(observed.unhandledRejections());
    cpu.reset();
    cpu.inc((user + system) / 1e6);
    resident.set(process.memoryUsage.rss());
    descriptors.set(length);
  };
}
