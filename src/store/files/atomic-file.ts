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
    renameSync(aside, path);
  } catch (thrown) {
    rmSync(aside, { force: true });
    throw thrown;
  }
}

/**
 * Writes a file that is not there yet at its path, in a third of the time of `writeAside`: a crash leaves a torn one, and
 * a failure none. For files of which a torn one counts as absent.
 *
 * @returns false if the path is taken.
 */
export function writeNew(path: string, text: string): boolean {
  const fd = openNew(path);
  if (fd === undefined) return false;
  try {
    writeFileSync(fd, text);
    return true;
  } catch (thrown) {
    rmSync(path, { force: true });
    throw thrown;
  } finally {
    closeSync(fd);
  }
}

function openNew(path: string): number | undefined {
  try {
    return openSync(path, 'wx', 0o600);
  } catch (thrown) {
    if (errnoOf(thrown) === 'EEXIST') return undefined;
    throw thrown;
  }
}
