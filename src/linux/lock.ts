import koffi, { type KoffiFunc } from 'koffi';
import { check, libc, pathOf, systemError } from './libc.ts';

const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;
const { EACCES, EAGAIN } = koffi.os.errno;

const fcntl: KoffiFunc<(fd: number, command: number, lock: Uint8Array) => number> = libc.func(
  'int fcntl(int, int, void *)',
);

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
