import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { mountsBelow } from '../support/os/mounts.ts';
import { runProgram } from '../support/os/program.ts';

/** A filesystem that was made just now. Disposing it waits until nothing uses it. */
export type Disk = AsyncDisposable & { readonly path: string };

/** A file of a fixed size, for one new ext4 after the other. */
export type DiskImage = {
  /** Makes a filesystem in it and mounts that. The one before must be disposed. */
  fresh(): Promise<Disk>;
};

/**
 * Makes the file. All its blocks are written at once, so that the first user of it is not slower than the next.
 *
 * @param directory must exist, below a temporaryDirectory() whose disposal unmounts and removes it.
 */
export function makeDiskImage(directory: string, mebibytes: number): DiskImage {
  const image = join(directory, 'disk.img');
  const path = join(directory, 'disk');
  mkdirSync(path);
  runProgram('dd', 'if=/dev/zero', `of=${image}`, 'bs=1M', `count=${mebibytes}`, 'conv=fsync', 'status=none');

  async function dispose(): Promise<void> {
    for (const { mountPoint } of mountsBelow(path)) runProgram('umount', mountPoint);
    for (let wait = 0; runProgram('losetup', '--associated', image) !== ''; wait++) {
      if (wait > 200) throw new Error(`${image} is still in use after it was unmounted`);
      await sleep(50);
    }
  }

  return {
    async fresh() {
      const lazy = 'nodiscard,lazy_itable_init=1,lazy_journal_init=1';
      runProgram('mkfs.ext4', '-q', '-F', '-E', lazy, image);
      const device = runProgram('losetup', '--find', '--show', '--direct-io=on', image).trim();
      try {
        // Without noinit_itable, a thread of the kernel would write to the disk meanwhile.
        runProgram('mount', '-o', 'noinit_itable', device, path);
      } finally {
        runProgram('losetup', '--detach', device); // as soon as it is unmounted
      }
      return { path, [Symbol.asyncDispose]: dispose };
    },
  };
}
