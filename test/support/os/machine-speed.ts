import { hash } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';

/** The CPU time of the task below, in milliseconds, on the machine for which limits of CPU time are set. */
const usual = 8;

/**
 * How many times slower this machine is now: 1 if it is as fast, or faster. A virtual machine can take three times the
 * CPU time for the same work while its host is busy, above all for memory that it did not have before.
 */
export function slowness(): number {
  const times = Array.from({ length: 3 }, () => {
    const before = process.threadCpuUsage();
    gunzipSync(packed);
    const { user, system } = process.threadCpuUsage(before);
    return (user + system) / 1000;
  });
  return Math.max(1, Math.min(...times) / usual);
}

const packed = gzipSync(Array.from({ length: 16_384 }, (_, n) => hash('sha256', `${n}`)).join('again '));
