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
  try {
    {
      await using file = await open(aside, 'w', 0o600);
      await file.writeFile(bytes);
      if (durable) await file.sync();
    }
    await rename(aside, path);
  } catch (thrown) {
    await rm(aside, { force: true });
    throw thrown;
  }
}
