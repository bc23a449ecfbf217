import { constants, readlinkSync } from 'node:fs';
import { getSystemErrorMessage, getSystemErrorName } from 'node:util';
import koffi, { type KoffiFunc, type LibraryHandle } from 'koffi';
import { errnoOf } from '../util/error.ts';

/**
 * The few calls of the C library that Node lacks, made in this process. The symbols are those that Node itself is
 * linked with, so glibc and musl both work. Signatures have a fixed number of integers and pointers: on x86-64 and
 * arm64 Linux such a call of a variadic function (fcntl, syscall) passes its arguments in the same registers.
 */
export const libc: LibraryHandle = koffi.load(null);

/** An Error like those of node:fs: `code` is the errno's name, the message names the call and the path. */
export function systemError(call: string, path: string, errno: number): NodeJS.ErrnoException {
  const code = getSystemErrorName(-errno);
  const error = new Error(`${code}: ${getSystemErrorMessage(-errno)}, ${call} '${path}'`);
  return Object.assign(error, { code, errno: -errno, syscall: call, path });
}

/**
 * Checks the result of a call that reports failure as -1. It must be called right after the call, because of errno.
 *
 * @throws systemError. A number as `file` is a descriptor; the message has its path.
 */
export function check(result: number, call: string, file: string | number): number {
  if (result !== -1) return result;
  const errno = koffi.errno();
  throw systemError(call, typeof file === 'number' ? pathOf(file) : file, errno);
}

/** Returns the present path of an open descriptor, from the kernel. */
export function pathOf(fd: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return `descriptor ${fd}`;
  }
}

const F_GETFL = 3;
const F_SETFL = 4;
const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;
const SYNC_FILE_RANGE_WRITE = 2;
const XATTR_SIZE_MAX = 65_536;
const { EACCES, EAGAIN, ENODATA } = koffi.os.errno;

const fcntl: KoffiFunc<(fd: number, command: number, lock: Uint8Array) => number> = libc.func(
  'int fcntl(int, int, void *)',
);
const fcntlFlags: KoffiFunc<(fd: number, command: number, flags: number) => number> =
  libc.func('int fcntl(int, int, int)');
const syncfs: KoffiFunc<(fd: number) => number> = libc.func('int syncfs(int)');
const fsetxattr: KoffiFunc<
  (fd: number, name: string, value: Uint8Array, size: number, flags: number) => number
> = libc.func('int fsetxattr(int, const char *, const void *, size_t, int)');
const fgetxattr: KoffiFunc<(fd: number, name: string, value: Uint8Array, size: number) => number> = libc.func(
  'int64 fgetxattr(int, const char *, void *, size_t)',
);
const syncFileRange: KoffiFunc<(fd: number, offset: number, length: number, flags: number) => number> =
  libc.func('int sync_file_range(int, int64, int64, uint)');

/** A struct flock on one byte of a file. */
function flock(type: number, byte: number): Uint8Array {
  const fields = BigInt64Array.of(0n, BigInt(byte), 1n, 0n);
  const struct = new Uint8Array(fields.buffer);
  struct[0] = type;
  return struct;
}

/**
 * Locks a byte of a file, which need not exist, without waiting; false while another open file description has a
 * conflicting lock. The lock lasts until it is unlocked, the descriptor is closed, or the process ends, however it ends
 * (fcntl(2), open file description locks).
 *
 * @param fd opened for writing, or for reading if the lock is shared.
 */
export function lockFile(fd: number, kind: 'exclusive' | 'shared' = 'exclusive', byte = 0): boolean {
  if (fcntl(fd, F_OFD_SETLK, flock(kind === 'shared' ? F_RDLCK : F_WRLCK, byte)) === 0) return true;
  const errno = koffi.errno();
  if (errno === EAGAIN || errno === EACCES) return false;
  throw systemError('fcntl', pathOf(fd), errno);
}

export function unlockFile(fd: number, byte: number): void {
  check(fcntl(fd, F_OFD_SETLK, flock(F_UNLCK, byte)), 'fcntl', fd);
}

/** Whether another open file description has any lock on a byte of the file. */
export function isLocked(fd: number, byte: number): boolean {
  const found = flock(F_WRLCK, byte);
  check(fcntl(fd, F_OFD_GETLK, found), 'fcntl', fd);
  return found[0] !== F_UNLCK;
}

/** Makes the open file description, which may be shared with other processes, non-blocking (fcntl(2)). */
export function setNonBlocking(fd: number): void {
  const flags = check(fcntlFlags(fd, F_GETFL, 0), 'fcntl', fd);
  check(fcntlFlags(fd, F_SETFL, flags | constants.O_NONBLOCK), 'fcntl', fd);
}

/** Writes the whole filesystem of the descriptor to disk, in a thread (syncfs(2)). */
export function syncFileSystem(fd: number): Promise<void> {
  return inThread('syncfs', fd, done => syncfs.async(fd, done));
}

type Done = (failure: unknown, result: number) => void;

function inThread(call: string, fd: number, start: (done: Done) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((failure, result) => {
      const errno = koffi.errno();
      if (failure !== null) reject(failure);
      else if (result === -1) reject(systemError(call, pathOf(fd), errno));
      else resolve();
    });
  });
}

/** Sets an extended attribute of an open file or directory. @throws ENOTSUP if the filesystem has none. */
export function setXattr(fd: number, name: string, value: Uint8Array): void {
  check(fsetxattr(fd, name, value, value.byteLength, 0), 'fsetxattr', fd);
}

/**
 * The errors of a filesystem without attributes, and of one without space for this attribute (ext4 has 4 KiB in all).
 */
const untaken = new Set(['ENOTSUP', 'ENOSPC', 'E2BIG', 'ERANGE', 'EINVAL', 'EPERM']);

/** As `setXattr`; false if the filesystem refuses it. */
export function offerXattr(fd: number, name: string, value: Uint8Array): boolean {
  try {
    setXattr(fd, name, value);
    return true;
  } catch (thrown) {
    if (untaken.has(errnoOf(thrown) ?? '')) return false;
    throw thrown;
  }
}

const scratch = new Uint8Array(XATTR_SIZE_MAX);

/** Returns an extended attribute of an open file or directory; undefined if it has none of this name. */
export function getXattr(fd: number, name: string): Uint8Array | undefined {
  const size = fgetxattr(fd, name, scratch, scratch.byteLength);
  if (size !== -1) return scratch.slice(0, size);
  const errno = koffi.errno();
  if (errno === ENODATA) return undefined;
  throw systemError('fgetxattr', pathOf(fd), errno);
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
