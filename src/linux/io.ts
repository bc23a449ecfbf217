import { closeSync, constants, lstatSync, openSync } from 'node:fs';
import type { KoffiFunc } from 'koffi';
import { check, inThread, libc } from './libc.ts';

const SYS_ioprio_set = process.arch === 'arm64' ? 30 : 251;
const IOPRIO_WHO_PROCESS = 1;
const IOPRIO_CLASS_IDLE = 3 << 13;
/** _IOW('f', 133, struct fsverity_enable_arg), which has 128 bytes. */
const FS_IOC_ENABLE_VERITY = 0x4080_6685;
const FS_VERITY_HASH_ALG_SHA256 = 1;
const verityBlock = 4096;
const FS_IOC_GETFLAGS = 0x8008_6601;
const FS_IOC_SETFLAGS = 0x4008_6602;
const FS_IMMUTABLE_FL = 0x10;
const FS_APPEND_FL = 0x20;
/** _IOW(0x94, 9, int) */
const FICLONE = 0x4004_9409;
const SYNC_FILE_RANGE_WRITE = 2;
const FALLOC_FL_KEEP_SIZE = 1;
const O_CLOEXEC = 0x8_0000;

const ioprioSet: KoffiFunc<(number: number, which: number, who: number, priority: number) => number> =
  libc.func('int64 syscall(int64, int, int, int)');
const ioctl: KoffiFunc<(fd: number, request: number, argument: Uint32Array) => number> = libc.func(
  'int ioctl(int, ulong, void *)',
);
const ioctlNumber: KoffiFunc<(fd: number, request: number, argument: number) => number> = libc.func(
  'int ioctl(int, ulong, long)',
);
const syncfs: KoffiFunc<(fd: number) => number> = libc.func('int syncfs(int)');
const syncFileRange: KoffiFunc<(fd: number, offset: number, length: number, flags: number) => number> =
  libc.func('int sync_file_range(int, int64, int64, uint)');
const dup3: KoffiFunc<(from: number, to: number, flags: number) => number> =
  libc.func('int dup3(int, int, int)');
const fallocate: KoffiFunc<(fd: number, mode: number, offset: number, length: number) => number> = libc.func(
  'int fallocate(int, int, int64, int64)',
);

/**
 * From now on a thread reads only when the disk is otherwise idle (ioprio_set(2)). On a kernel without this class,
 * nothing changes.
 */
export function giveWay(thread: number): void {
  ioprioSet(SYS_ioprio_set, IOPRIO_WHO_PROCESS, thread, IOPRIO_CLASS_IDLE);
}

/**
 * Seals a file by fs-verity (FS_IOC_ENABLE_VERITY), in a thread, because the kernel hashes all of it: nobody can write
 * to it any more, and reads of it are verified.
 *
 * @param fd opened for reading.
 * @throws EEXIST if it is sealed; ETXTBSY while the file is open for writing, EBUSY while it is being sealed; ENOTTY,
 *   EOPNOTSUPP if kernel or filesystem have no fs-verity; ENOSPC.
 */
export function sealFile(fd: number): Promise<void> {
  const argument = new Uint32Array(32);
  argument.set([1, FS_VERITY_HASH_ALG_SHA256, verityBlock]);
  return inThread('ioctl', fd, done => ioctl.async(fd, FS_IOC_ENABLE_VERITY, argument, done));
}

/**
 * Gives a file the content of another one, whose blocks both share until one is written to (FICLONE), in a thread: the
 * kernel first writes the other's dirty pages to disk.
 *
 * @param to opened for writing. Bytes past the end of the other stay.
 * @throws EOPNOTSUPP, EXDEV, EINVAL if the filesystem cannot share blocks of these two; ENOSPC.
 */
export function cloneFile(to: number, from: number): Promise<void> {
  return inThread('ioctl', to, done => ioctlNumber.async(to, FICLONE, from, done));
}

/** Makes a descriptor one of what another one is open for, and keeps its number (dup3(2)). */
export function replaceDescriptor(fd: number, by: number): void {
  check(dup3(by, fd, O_CLOEXEC), 'dup3', fd);
}

/** Writes the whole filesystem of the descriptor to disk, in a thread (syncfs(2)). */
export function syncFileSystem(fd: number): Promise<void> {
  return inThread('syncfs', fd, done => syncfs.async(fd, done));
}

/**
 * Starts writing the dirty pages of a range of bytes to disk (sync_file_range(2)), in a thread: it waits only for space
 * in the queue of the device. The descriptor must stay open until then.
 */
export function startWriteback(fd: number, offset: number, length: number): Promise<void> {
  return inThread('sync_file_range', fd, done =>
    syncFileRange.async(fd, offset, length, SYNC_FILE_RANGE_WRITE, done),
  );
}

/**
 * Takes room on the disk for the first bytes of a file, in a thread, and leaves its size (fallocate(2)).
 *
 * @throws ENOSPC; EOPNOTSUPP if the filesystem cannot do that.
 */
export function allocateFile(fd: number, length: number): Promise<void> {
  return inThread('fallocate', fd, done => fallocate.async(fd, FALLOC_FL_KEEP_SIZE, 0, length, done));
}

/**
 * Clears the flags of a file or directory that forbid even root to change, link or remove it (chattr +i, +a). Follows no
 * symlink.
 *
 * @returns whether it had one of them; false where nothing is there, and where the filesystem has no flags.
 */
export function clearChangeFlags(path: string | Buffer): boolean {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats?.isFile() !== true && stats?.isDirectory() !== true) return false;
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const flags = new Uint32Array(2);
    if (ioctl(fd, FS_IOC_GETFLAGS, flags) === -1) return false;
    const [had = 0] = flags;
    flags[0] = had & ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
    return flags[0] !== had && ioctl(fd, FS_IOC_SETFLAGS, flags) === 0;
  } finally {
    closeSync(fd);
  }
}
