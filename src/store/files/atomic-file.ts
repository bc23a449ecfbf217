import { closeSync, fsync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';

const sync = promisify(fsync);

/**
 * Writes a whole file aside, then renames it into place: a reader finds the old bytes or the new, and a failure leaves
 * nothing aside. When `durable` the bytes are on disk before the name; the caller syncs the folder.
 */
export async function writeAside(
  aside: string,
  path: string,
  bytes: Uint8Array | string,
  durable: boolean,
): Promise<void> {
  // What takes microseconds is not given to Node's threads, which would take ten times that.
  try {
    const fd = openSync(aside, 'w', 0o600);
    try {
      writeFileSync(fd, bytes);
      if (durable) await sync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(aside, path);
  } catch (thrown) {
    rmSync(aside, { force: true });
    throw thrown;
  }
}
