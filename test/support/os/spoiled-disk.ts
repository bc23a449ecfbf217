import { execFileSync } from 'node:child_process';
import { closeSync, lstatSync, mkdirSync, openSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** A disk with inodes that the kernel cannot read. */
export type SpoiledDisk = {
  readonly path: string;
  /** Spoils the inodes of these files and directories. The disk is unmounted meanwhile. */
  spoil(paths: readonly string[]): void;
};

const blockSize = 4096;

/** @param directory below a temporaryDirectory(), whose disposal unmounts it. */
export function mountSpoiledDisk(directory: string): SpoiledDisk {
  const [path, image] = [join(directory, 'disk'), join(directory, 'image')];
  mkdirSync(path);
  writeFileSync(image, '');
  truncateSync(image, 64 * 1024 * 1024);
  execFileSync('mkfs.ext4', ['-q', '-b', String(blockSize), '-O', 'metadata_csum', image]);
  const mount = (): void => void execFileSync('mount', ['-o', 'loop,errors=continue', image, path]);
  mount();
  return {
    path,
    spoil(paths) {
      const inodes = paths.map(spoiled => lstatSync(spoiled).ino);
      execFileSync('umount', [path]);
      for (const inode of inodes) {
        const said = execFileSync('debugfs', ['-R', `imap <${inode}>`, image], {
          encoding: 'utf8',
          stdio: ['ignore', 'pipe', 'ignore'],
        });
        const [, block = '', offset = ''] = /block (\d+), offset 0x([0-9a-f]+)/.exec(said) ?? [];
        const fd = openSync(image, 'r+');
        writeSync(fd, Buffer.alloc(64, 0xff), 0, 64, Number(block) * blockSize + Number.parseInt(offset, 16));
        closeSync(fd);
      }
      mount();
    },
  };
}
