import { closeSync, fsync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { errnoOf } from '../../util/error.ts';

const sync = promisify(fsync);

/**
 * Writes a whole temporary file, then renames it: a reader finds the old bytes or the new, and a failure leaves no
 * temporary file. With `durable`, the bytes are on disk before the rename; the caller syncs the directory.
 */
export async function writeAside(
  aside: string,
  path: string,
  bytes: Uint8Array | string | AsyncIterable<string>,
  durable: boolean,
): Promise<void> {
  // Calls of microseconds are synchronous: through Node's thread pool they would take ten times that.
  try {
    const fd = openSync(aside, 'w', 0o600);
    try {
      if (typeof bytes === 'string' || bytes instanceof Uint8Array) writeFileSync(fd, bytes);
      else for await (const part of bytes) writeFileSync(fd, part);
      if (durable) await sync(fd);
    } finally {
      closeSync(fd);
    }
    replace(path, aside);
  } catch (thrown) {
    rmSync(aside, { force: true });
    throw thrown;
  }
}

/** A directory that somebody put in the place of the file is no content. */
function replace(path: string, by: string): void {
  try {
    renameSync(by, path);
  } catch (thrown) {
    if (errnoOf(thrown) !== 'EISDIR') throw thrown;
    rmSync(path, { recursive: true });
    renameSync(by, path);
  }
}
