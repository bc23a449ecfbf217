import { type BigIntStats, statSync } from 'node:fs';
import { errnoOf } from './error.ts';

/**
 * Tells one version of a file from the next, in some µs. It follows links, so that a ConfigMap's new version is another
 * inode; a file that is written in place with equal size and time has another time of change.
 */
export function stampOf(path: string): string {
  try {
    return stampOfStat(statSync(path, { bigint: true }));
  } catch (thrown) {
    return errnoOf(thrown) ?? 'unknown';
  }
}

/**
 * The same of an open file. One that changed just now can change again at the same time, as filesystems tell it: until it
 * has settled it has another stamp at each look.
 */
export function stampOfStat({ dev, ino, size, mtimeNs, ctimeNs, ctimeMs }: BigIntStats): string {
  const young = Date.now() - Number(ctimeMs) < 100 ? performance.now() : 0;
  return [dev, ino, size, mtimeNs, ctimeNs, young].join(' ');
}
