import { statfs } from 'node:fs/promises';
import type { Disk } from '../ports/store.ts';
import { attempt } from './files/failure.ts';

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
