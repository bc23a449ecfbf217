import { lstatSync, opendirSync, rmdirSync, unlinkSync } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { type Pace, startPace } from '../../util/pace.ts';

/**
 * The size in bytes from which a file is unlinked in a thread: the kernel frees its pages and extents synchronously.
 */
const big = 4 * 1024 * 1024;

/**
 * Removes a file or a tree in slices that leave the event loop free. It follows no symlink. fs.rm is not used: it
 * queues a tree of 50,000 entries in the thread pool at once, where every other read then waits.
 *
 * @throws the signal's reason; another call can remove the rest.
 */
export async function removeTree(path: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const bytes = Buffer.from(path);
  const stats = lstatSync(bytes);
  if (stats.isDirectory()) await removeFolder(bytes.toString('latin1'), startPace(signal));
  else await removeFile(bytes, stats.size);
}

async function removeFile(path: Buffer, size: number): Promise<void> {
  if (size >= big) await unlink(path);
  else unlinkSync(path);
}

/** Paths are latin1 here, one character per byte: names need not be UTF-8. */
async function removeFolder(path: string, pace: Pace): Promise<void> {
  const folders: string[] = [];
  {
    using entries = opendirSync(toBytes(path), { encoding: 'latin1', bufferSize: 512 });
    for (let entry = entries.readSync(); entry !== null; entry = entries.readSync()) {
      const child = `${path}/${entry.name}`;
      if (entry.isDirectory()) folders.push(child);
      else if (entry.isFile() && lstatSync(toBytes(child)).size >= big) await unlink(toBytes(child));
      else unlinkSync(toBytes(child));
      const rest = pace();
      if (rest !== undefined) await rest;
    }
  }
  for (const folder of folders) await removeFolder(folder, pace);
  rmdirSync(toBytes(path));
  const rest = pace();
  if (rest !== undefined) await rest;
}

function toBytes(path: string): Buffer {
  return Buffer.from(path, 'latin1');
}
