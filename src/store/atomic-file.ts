import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';

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
  if (!durable) return writeAsideHere(aside, path, bytes);
  try {
    {
      await using file = await open(aside, 'w', 0o600);
      await file.writeFile(bytes);
      await file.sync();
    }
    await rename(aside, path);
  } catch (thrown) {
    await rm(aside, { force: true });
    throw thrown;
  }
}

/** What takes microseconds is not given to Node's threads, which would take ten times that. */
function writeAsideHere(aside: string, path: string, bytes: Uint8Array | string): void {
  try {
    writeFileSync(aside, bytes, { mode: 0o600 });
    renameSync(aside, path);
  } catch (thrown) {
    rmSync(aside, { force: true });
    throw thrown;
  }
}
