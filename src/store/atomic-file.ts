import { open, rename } from 'node:fs/promises';

/**
 * Writes a whole file aside, then renames it into place: a reader finds the old bytes or the new. When `durable` the
 * bytes are on disk before the name; the caller syncs the folder.
 */
export async function writeAside(
  aside: string,
  path: string,
  bytes: Uint8Array | string,
  durable: boolean,
): Promise<void> {
  {
    await using file = await open(aside, 'w', 0o600);
    await file.writeFile(bytes);
    if (durable) await file.sync();
  }
  await rename(aside, path);
}
