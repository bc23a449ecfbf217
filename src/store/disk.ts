import { existsSync, utimesSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Disk } from '../ports/disk.ts';
import { errnoOf } from '../util/error.ts';
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

/**
 * Returns why an open state directory cannot be written. It tests this by setting the times of the lock, because mount
 * flags do not show a filesystem that has turned read-only.
 */
export function findWriteProblem(stateDir: string): string | undefined {
  const now = new Date();
  try {
    utimesSync(join(stateDir, 'lock'), now, now);
    return undefined;
  } catch (thrown) {
    const errno = errnoOf(thrown);
    if (errno === 'ENOENT') return undefined; // a removed directory is reported elsewhere
    return `the state directory ${stateDir} cannot be written (${errno}): mounted volumes stay, and new ones fail; see the kernel's log, and mount the disk for writing again`;
  }
}

/** Returns that an open state directory is no longer at its path. */
export function findAbsence(stateDir: string): string | undefined {
  if (existsSync(join(stateDir, 'lock'))) return undefined;
  return `the state directory ${stateDir} was moved or removed while the daemon runs: mounted volumes stay, and new ones fail; put it back, or restart the daemon`;
}
