import { lstatSync } from 'node:fs';

/**
 * Answers whether a path names what this one names now. What is open, or bound as a socket, keeps its number, so that
 * nothing else can be taken for it.
 */
export function recognize(path: string): (path: string) => boolean {
  const { dev, ino } = lstatSync(path);
  return other => {
    const now = lstatSync(other, { throwIfNoEntry: false });
    return now?.dev === dev && now.ino === ino;
  };
}
