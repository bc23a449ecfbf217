import { formatSize } from './size.ts';

/** Milliseconds in the largest unit that fits: `5s`, `12m`, `3h`, `40d`. */
export function formatAge(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 2 * 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 2 * 86400) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86400)}d`;
}

/** The date of milliseconds since 1970; the first or last that there can be, if a file or another program gave more. */
export function toDate(milliseconds: number): Date {
  const furthest = 8.64e15;
  return new Date(Math.max(-furthest, Math.min(milliseconds, furthest)));
}

/** A digest for users: the algorithm and twelve hex digits, or all of it. */
export function formatDigest(digest: string, whole: boolean): string {
  if (whole) return digest;
  const colon = digest.indexOf(':');
  return digest.slice(0, colon + 13);
}

/** `1 volume`, `2 volumes`. */
export function formatCount(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** Whether kubelet has registered the driver, after the word "kubelet". */
export const registrationWords = {
  registered: 'has registered the driver',
  waiting: 'has not registered the driver yet',
  off: 'is not told of the driver by this daemon (--register is off); set --register, unless a node-driver-registrar runs beside it',
} as const;

/** Bytes and inodes of a filesystem. */
type Usage = {
  readonly totalBytes: number;
  readonly availableBytes: number;
  readonly totalInodes: number;
  readonly usedInodes: number;
};

/** As the limits of the cache count, not as df does: blocks that are reserved for root are in use. */
export function formatDiskUsage({ totalBytes, availableBytes, totalInodes, usedInodes }: Usage): string {
  const inodes = totalInodes === 0 ? '' : `; ${formatPercent(usedInodes, totalInodes)} of inodes in use`;
  const available = `${formatSize(availableBytes)} of ${formatSize(totalBytes)} available`;
  return `${formatPercent(totalBytes - availableBytes, totalBytes)} in use, ${available}${inodes}`;
}

function formatPercent(part: number, whole: number): string {
  return `${whole === 0 ? 0 : Math.ceil((part / whole) * 100)} %`;
}
