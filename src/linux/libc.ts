import { readlinkSync } from 'node:fs';
import { getSystemErrorMessage, getSystemErrorName } from 'node:util';
import koffi, { type LibraryHandle } from 'koffi';

/**
 * The few calls of the C library that Node lacks, made in this process. The symbols are those that Node itself is
 * linked with, so glibc and musl both work. Signatures have a fixed number of integers and pointers: on x86-64 and
 * arm64 Linux such a call of a variadic function (fcntl, syscall) passes its arguments in the same registers.
 */
export const libc: LibraryHandle = koffi.load(null);

/** An Error like those of node:fs: `code` is the errno's name, the message names the call and the path. */
export function systemError(call: string, path: string, errno: number): NodeJS.ErrnoException {
  const code = errno === koffi.os.errno.ENOTBLK ? 'ENOTBLK' : getSystemErrorName(-errno); // Node has no name for it
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
  throw systemError(call, nameOf(file), errno);
}

function nameOf(file: string | number): string {
  return typeof file === 'number' ? pathOf(file) : file;
}

/** Returns the present path of an open descriptor, from the kernel. */
export function pathOf(fd: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return `descriptor ${fd}`;
  }
}

type Done = (failure: unknown, result: number) => void;

/**
 * Makes a call of the C library in a thread: `start` begins it, with the callback that koffi calls at its end.
 *
 * @throws systemError, and an error of koffi.
 */
export function inThread(call: string, file: string | number, start: (done: Done) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((failure, result) => {
      const errno = koffi.errno();
      if (failure !== null) reject(failure);
      else if (result === -1) reject(systemError(call, nameOf(file), errno));
      else resolve();
    });
  });
}
