import { execFileSync } from 'node:child_process';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Mounts a filesystem of 512 MiB whose files can share blocks, in a directory that is removed afterwards. */
export function mountXfs(directory: string): Disposable & { readonly path: string } {
  const path = join(directory, 'disk');
  mkdirSync(path);
  const image = join(directory, 'image');
  writeFileSync(image, '');
  truncateSync(image, 512 * 2 ** 20);
  execFileSync('mkfs.xfs', ['-q', image]);
  execFileSync('mount', ['-o', 'loop', image, path]);
  return { path, [Symbol.dispose]: () => void execFileSync('umount', [path]) };
}
