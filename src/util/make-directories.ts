import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { errnoOf } from './error.ts';

/**
 * Creates a directory and its missing parents. `recursive` of Node never ends where a parent exists and the kernel
 * answers ENOENT nevertheless, as below /proc.
 *
 * @throws the error of mkdir(2) for the first directory that cannot be created.
 */
export function makeDirectories(path: string, mode: number): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return;
  if (statSync(dirname(path), { throwIfNoEntry: false }) === undefined) makeDirectories(dirname(path), mode);
  try {
    mkdirSync(path, mode);
  } catch (thrown) {
    const isThere = errnoOf(thrown) === 'EEXIST' && statSync(path).isDirectory(); // another process made it
    if (!isThere) throw thrown;
  }
}
