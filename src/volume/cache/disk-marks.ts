import type { DiskAmount, DiskUsage } from '../../ports/disk.ts';
import { formatSize } from '../../util/size.ts';

/** Limits of disk and cache usage. Percent of the filesystem in use, as kubelet counts it; sizes in bytes. */
export type Limits = {
  /** Where garbage collection begins, at most `diskMax`, and where it ends. */
  readonly cacheHigh: number;
  readonly cacheLow: number;
  /** Where pulls fail. */
  readonly diskMax: number;
  readonly cacheMax?: number | undefined;
  readonly maxArtifactSize?: number | undefined;
};

/**
 * Bytes below a mark; negative above it. Everything unavailable counts as used, including blocks reserved for root, as
 * kubelet counts for evictions. df shows less.
 */
export function roomIn({ totalBytes, availableBytes }: DiskUsage, percent: number): number {
  return availableBytes - (totalBytes * (100 - percent)) / 100;
}

export function inodesIn({ usedInodes, totalInodes }: DiskUsage, percent: number): number {
  return totalInodes === 0 ? Infinity : Math.floor((totalInodes * percent) / 100) - usedInodes;
}

/** A mark that is passed. `text`: `the disk is above --cache-high (75)`. */
type Mark = { readonly flag: '--disk-max' | '--cache-high' | '--cache-max'; readonly text: string };

/**
 * The mark that the disk, its inodes or the cache is above; undefined if none is. `more`: bytes and inodes that are
 * needed beside.
 */
export function markAbove(
  usage: DiskUsage,
  cacheBytes: number,
  limits: Limits,
  more: DiskAmount = { bytes: 0, inodes: 0 },
): Mark | undefined {
  const { cacheMax = Infinity } = limits;
  const whose = (percent: number): string | undefined =>
    more.bytes > roomIn(usage, percent)
      ? 'the disk'
      : more.inodes > inodesIn(usage, percent)
        ? 'the number of inodes of the disk'
        : undefined;
  for (const [flag, percent] of [
    ['--disk-max', limits.diskMax],
    ['--cache-high', limits.cacheHigh],
  ] as const) {
    const subject = whose(percent);
    if (subject !== undefined) return { flag, text: `${subject} is above ${flag} (${percent})` };
  }
  return cacheBytes + more.bytes > cacheMax
    ? { flag: '--cache-max', text: `the cache is above --cache-max (${formatSize(cacheMax)})` }
    : undefined;
}

/** What follows from such a mark, for people. */
export function describePressure(usage: DiskUsage, cacheBytes: number, limits: Limits): string | undefined {
  const mark = markAbove(usage, cacheBytes, limits);
  if (mark === undefined) return undefined;
  const fails = mark.flag === '--disk-max' ? 'pulls fail, and ' : '';
  return `${mark.text}: ${fails}unused content is collected, unless it is pinned`;
}

/** Names the limit that is exceeded. */
export function describeShortage(
  subject: string,
  need: DiskAmount,
  kept: DiskAmount,
  usage: DiskUsage,
  limits: Limits,
): string {
  const { diskMax, cacheMax } = limits;
  const room = Math.max(0, roomIn(usage, diskMax) - kept.bytes);
  const inodes = Math.max(0, inodesIn(usage, diskMax) - kept.inodes);
  const [what, limit] =
    need.bytes > room
      ? [formatSize(need.bytes), `its disk has room for ${formatSize(room)} below --disk-max (${diskMax})`]
      : need.inodes > inodes || cacheMax === undefined
        ? [`${need.inodes} inodes`, `its disk has ${inodes} below --disk-max (${diskMax})`]
        : [formatSize(need.bytes), `it may have ${formatSize(cacheMax)} in all (--cache-max)`];
  return `${subject} needs ${what} more in the cache, and ${limit}; garbage collection cannot free enough: unpin artifacts, delete volumes, free space on the disk, or raise the limit`;
}
