import { lstatSync, opendirSync } from 'node:fs';
import { startPace } from '../../util/pace.ts';

/**
 * Whether a tree has an entry that is one of these inodes. It works in slices that leave the event loop free. It
 * follows no symlink.
 */
export async function containsInode(
  root: string,
  inodes: readonly bigint[],
  signal: AbortSignal,
): Promise<boolean> {
  if (inodes.length === 0) return false;
  const pace = startPace(signal);
  const wanted = new Set(inodes);
  // latin1, one character per byte: names need not be UTF-8.
  const directories = [Buffer.from(root).toString('latin1')];
  for (let directory = directories.pop(); directory !== undefined; directory = directories.pop()) {
    using entries = opendirSync(Buffer.from(directory, 'latin1'), { encoding: 'latin1', bufferSize: 512 });
    for (let entry = entries.readSync(); entry !== null; entry = entries.readSync()) {
      const path = `${directory}/${entry.name}`;
      if (entry.isDirectory()) directories.push(path);
      else if (wanted.has(lstatSync(Buffer.from(path, 'latin1'), { bigint: true }).ino)) return true;
      const rest = pace();
      if (rest !== undefined) await rest;
    }
  }
  return false;
}
