import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mountTmpfs } from './tmpfs.ts';

/** A disk whose power can be cut: a filesystem that has only what the kernel has written by then. */
export type CutDisk = {
  /** Where the disk is mounted. */
  readonly path: string;
  /** Mounts what the disk had at this moment elsewhere, and returns where. The original goes on. */
  cut(): string;
};

/** @param directory below a temporaryDirectory(), whose disposal unmounts it. */
export function mountCutDisk(directory: string, mebibytes = 64): CutDisk {
  const backing = mountTmpfs(join(directory, 'backing'), `size=${8 * mebibytes}m`);
  const image = join(backing, 'image');
  writeFileSync(image, '');
  truncateSync(image, mebibytes * 1024 * 1024);
  execFileSync('mkfs.ext4', ['-q', '-E', 'nodiscard,lazy_itable_init=0', image]);
  let cuts = 0;
  const mount = (from: string, name: string): string => {
    const path = join(directory, name);
    mkdirSync(path);
    execFileSync('mount', ['-o', 'loop', from, path]);
    return path;
  };
  return {
    path: mount(image, 'disk'),
    cut() {
      const copy = join(backing, `cut-${++cuts}`);
      // A disk has one state at a time: what is written during the copy would be mixed into an older one.
      do copyFileSync(image, copy);
      while (!readFileSync(image).equals(readFileSync(copy)));
      return mount(copy, `cut-${cuts}`);
    },
  };
}
