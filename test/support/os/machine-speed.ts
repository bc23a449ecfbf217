import { hash } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';

/** The CPU time of the task below, in milliseconds, on the machine for which limits of CPU time are set. */
const usual = 8;

/**
 * How many times slower this machine is now: 1 if it is as fast, or faster. A virtual machine can take three times the
 * CPU time for the same work while its host is busy, above all for memory that it did not have before.
 */
export function slowness(): number {
  return Math.max(1, Math.min(...measure(3)) / usual);
}

/**
 * The same by the slowest of many tries. While the host takes the CPU away, a guest counts that time as its own, so the
 * longest of many turns is longer by far more than the usual one.
 */
export function worstSlowness(): number {
  return Math.max(1, Math.max(...measure(16)) / usual);
}

function measure(tries: number): readonly number[] {
  return Array.from({ length: tries }, () => {
    const before = process.threadCpuUsage();
    gunzipSync(packed);
    const { user, system } = process.threadCpuUsage(before);
    return (user + system) / 1000;
  });
}

const packed = gzipSync(Array.from({ length: 16_384 }, (_, n) => hash('sha256', `${n}`)).join('again '));
