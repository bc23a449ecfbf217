import { closeSync, constants, lstatSync, openSync } from 'node:fs';
import koffi, { type KoffiFunc } from 'koffi';
import { libc, pathOf, systemError } from './libc.ts';

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

const ioprioSet: KoffiFunc<(number: number, which: number, who: number, priority: number) => number> =
  libc.func('int64 syscall(int64, int, int, int)');
const ioctl: KoffiFunc<(fd: number, request: number, argument: Uint32Array) => number> = libc.func(
  'int ioctl(int, ulong, void *)',
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
  return new Promise((resolve, reject) => {
    ioctl.async(fd, FS_IOC_ENABLE_VERITY, argument, (failure: unknown, result: number) => {
      const errno = koffi.errno();
      if (failure !== null) reject(failure);
      else if (result === -1) reject(systemError('ioctl', pathOf(fd), errno));
      else resolve();
    });
  });
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
