import koffi, { type KoffiFunc } from 'koffi';
import { check, libc, pathOf, systemError } from './libc.ts';

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_EMPTY_PATH = 0x1000;
const STATX_BASIC_STATS = 0x7ff;
const SYS_statx = process.arch === 'arm64' ? 291 : 332;
const { ENOENT, ENOTDIR } = koffi.os.errno;

const statx: KoffiFunc<
  (number: number, fd: number, path: Uint8Array, flags: number, mask: number, status: Uint32Array) => number
> = libc.func('int64 syscall(int64, int, const void *, uint, uint, void *)');
const utimensat: KoffiFunc<
  (directory: number, path: Uint8Array, times: BigInt64Array, flags: number) => number
> = libc.func('int utimensat(int, const void *, const void *, int)');

/** A struct statx in words of 32 bits; a number of 64 bits takes two words. */
export const statusWords = 64;

/**
 * Reads the status of a file below an open directory into `status`, without following a symlink (statx(2)). It costs a
 * fraction of lstat of node:fs, which creates an object for each status.
 *
 * @param name ends with a NUL; an empty one names the directory itself.
 * @returns false if nothing is there.
 */
export function readStatus(directory: number, name: Uint8Array, status: Uint32Array): boolean {
  const flags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;
  if (statx(SYS_statx, directory, name, flags, STATX_BASIC_STATS, status) === 0) return true;
  const errno = koffi.errno();
  if (errno === ENOENT || errno === ENOTDIR) return false;
  const text = Buffer.from(name.subarray(0, name.indexOf(0))).toString();
  throw systemError('statx', `${pathOf(directory)}/${text}`, errno);
}

const second = 1_000_000_000n;

/**
 * Sets both times of a file, directory or symlink, in nanoseconds since 1970 (utimensat(2)). Node's calls use doubles,
 * which are not precise enough.
 */
export function setTime(path: Uint8Array, time: bigint): void {
  const nanoseconds = BigInt.asUintN(64, ((time % second) + second) % second);
  const seconds = (time - nanoseconds) / second;
  const times = BigInt64Array.of(seconds, nanoseconds, seconds, nanoseconds);
  const terminated = Buffer.concat([path, Buffer.alloc(1)]);
  check(
    utimensat(AT_FDCWD, terminated, times, AT_SYMLINK_NOFOLLOW),
    'utimensat',
    Buffer.from(path).toString(),
  );
}
