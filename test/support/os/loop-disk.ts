import { execFileSync } from 'node:child_process';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Mounts a filesystem of 512 MiB in a directory that is removed afterwards. Only files of XFS can share blocks. */
export function mountDisk(directory: string, type: 'ext4' | 'xfs'): Disposable & { readonly path: string } {
  const path = join(directory, type);
  mkdirSync(path);
  const image = join(directory, `${type}.image`);
  writeFileSync(image, '');
  truncateSync(image, 512 * 2 ** 20);
  execFileSync(`mkfs.${type}`, ['-q', image]);
  execFileSync('mount', ['-o', 'loop', image, path]);
  return { path, [Symbol.dispose]: () => void execFileSync('umount', [path]) };
}
