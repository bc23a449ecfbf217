import { lstatSync, opendirSync } from 'node:fs';
import type { DiskAmount } from '../../ports/disk.ts';
import { startPace } from '../../util/pace.ts';

/**
 * Returns the bytes of the files below a directory, and the number of inodes including its own, each counted once. It
 * works in slices that leave the event loop free. It follows no symlink.
 */
export async function measureDirectory(root: string, signal: AbortSignal): Promise<DiskAmount> {
  signal.throwIfAborted();
  const pace = startPace(signal);
  const linked = new Set<number>();
  let bytes = 0;
  let inodes = 1;
  // latin1, one character per byte: names need not be UTF-8.
  const directories = [Buffer.from(root).toString('latin1')];
  for (let directory = directories.pop(); directory !== undefined; directory = directories.pop()) {
    using entries = opendirSync(Buffer.from(directory, 'latin1'), { encoding: 'latin1', bufferSize: 512 });
    for (let entry = entries.readSync(); entry !== null; entry = entries.readSync()) {
      const path = `${directory}/${entry.name}`;
      const { ino, nlink, size } = lstatSync(Buffer.from(path, 'latin1'));
      const isNew = !entry.isFile() || nlink <= 2 || !linked.has(ino); // with two links, one is the store's own
      if (isNew) inodes++;
      if (isNew && entry.isFile()) bytes += size;
      if (entry.isFile() && nlink > 2) linked.add(ino);
      if (entry.isDirectory()) directories.push(path);
      const rest = pace();
      if (rest !== undefined) await rest;
    }
  }
  return { bytes, inodes };
}
