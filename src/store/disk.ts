import { statfs } from 'node:fs/promises';
import { attempt } from './failure.ts';

/** The file system of the state dir. What df shows as used percent is used / (used + available). */
export type DiskUsage = {
  readonly totalBytes: number;
  readonly usedBytes: number;
  /** Less than total - used where a file system keeps a reserve for root. */
  readonly availableBytes: number;
  /** 0 where the file system does not count inodes. */
  readonly totalInodes: number;
  readonly usedInodes: number;
};

export type Disk = { usage(): Promise<DiskUsage> };

export function openDisk(path: string): Disk {
  return {
    usage: () =>
      attempt(`measuring the filesystem of ${path}`, async () => {
        const { frsize, blocks, bfree, bavail, files, ffree } = await statfs(path);
        return {
          totalBytes: blocks * frsize,
          usedBytes: (blocks - bfree) * frsize,
          availableBytes: bavail * frsize,
          totalInodes: files,
          usedInodes: files - ffree,
        };
      }),
  };
}
