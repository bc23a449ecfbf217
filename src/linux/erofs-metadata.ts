import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { KoffiFunc } from 'koffi';
import { check, inThread, libc } from './libc.ts';

const SYS_fadvise64 = process.arch === 'arm64' ? 223 : 221;
const O_TMPFILE = 0x40_0000 | constants.O_DIRECTORY;
const POSIX_FADV_DONTNEED = 4;
const PROT_READ = 1;
const MAP_SHARED = 1;
const MAP_POPULATE = 0x8000;

const getpagesize: KoffiFunc<() => number> = libc.func('int getpagesize()');
const mmap: KoffiFunc<
  (address: number, length: number, protection: number, flags: number, fd: number, offset: number) => number
> = libc.func('int64 mmap(uintptr_t, size_t, int, int, int, int64)');
const munmap: KoffiFunc<(address: number, length: number) => number> = libc.func(
  'int munmap(uintptr_t, size_t)',
);
const fadvise: KoffiFunc<
  (number: number, fd: number, offset: number, length: number, advice: number) => number
> = libc.func('int64 syscall(int64, int, int64, int64, int)');

/**
 * Makes the kernel read the metadata of a mounted EROFS again, which it may keep in a cache that no write to the image
 * changes. It keeps the pages of files: `1` means the cache of metadata, and of compressed bytes.
 *
 * @param image the file that is mounted. It must be on a disk.
 * @param device of the filesystem, `major:minor`.
 * @throws EROFS, EACCES or ENOENT with the path of the kernel that cannot be written.
 */
export async function rereadErofs(image: string, device: string): Promise<void> {
  await settlePages(dirname(image));
  await using file = await open(`/sys/fs/erofs/${device}/drop_caches`, constants.O_WRONLY);
  await file.write('1');
}

/**
 * Lets go of pages that CPUs have lately read and not yet put into the lists of the kernel, in a thread: until then, none
 * of them can be dropped, and dropping them says nothing of that. There is no call for it. The kernel does it for all when
 * it is asked to drop a page of a file that is in use: this one is mapped, of a file without a name, and has no bytes that
 * a disk would have to write.
 */
async function settlePages(directory: string): Promise<void> {
  const size = getpagesize();
  await using file = await open(directory, O_TMPFILE | constants.O_RDWR, 0o600);
  await file.truncate(size);
  const { fd } = file;
  const address = check(mmap(0, size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0), 'mmap', fd);
  try {
    await inThread('fadvise64', fd, done =>
      fadvise.async(SYS_fadvise64, fd, 0, size, POSIX_FADV_DONTNEED, done),
    );
  } finally {
    munmap(address, size);
  }
}
