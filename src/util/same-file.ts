import { lstatSync } from 'node:fs';

/**
 * Returns a function that checks whether a path still refers to the same file. An open file, or a bound socket, keeps
 * its inode number, so no other file can have it.
 */
export function recognize(path: string): (path: string) => boolean {
  const { dev, ino } = lstatSync(path);
  return other => {
    const now = lstatSync(other, { throwIfNoEntry: false });
    return now?.dev === dev && now.ino === ino;
  };
}
