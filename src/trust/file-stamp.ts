import { statSync } from 'node:fs';
import { errnoOf } from '../util/error.ts';

/**
 * Tells one version of a file from the next, in some µs. It follows links, so that a ConfigMap's new version is another
 * inode. A file changed just now can change again at the same time, as file systems tell it: until it has settled it has
 * another stamp at each look.
 */
export function stampOf(path: string): string {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs, ctimeMs } = statSync(path, { bigint: true });
    const young = Date.now() - Number(ctimeMs) < 100 ? performance.now() : 0;
    return [dev, ino, size, mtimeNs, ctimeNs, young].join(' ');
  } catch (thrown) {
    return errnoOf(thrown) ?? 'unknown';
  }
}
