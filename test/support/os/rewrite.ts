import assert from 'node:assert/strict';
import { stat, utimes, writeFile } from 'node:fs/promises';

/** Writes another text of the same size to a file, which keeps its inode and its times. */
export async function rewrite(path: string, text: string): Promise<void> {
  const { ino, size, atime, mtime } = await stat(path);
  await writeFile(path, text);
  await utimes(path, atime, mtime);
  const after = await stat(path);
  assert.deepEqual([after.ino, after.size, after.mtime], [ino, size, mtime]);
}
