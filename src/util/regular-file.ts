import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  type PathLike,
  readFileSync,
  type Stats,
  writeSync,
} from 'node:fs';
import { errnoOf } from './error.ts';

/** No symlink is followed, and no FIFO or device is waited for. */
export const direct: number = constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;

/**
 * Opens a regular file, as what is in the state directory must be. Something else may be in the place of one, where a
 * plain open would follow it, or stop the thread.
 *
 * @param flags of open(2), for reading if they are not given.
 * @throws errors of the filesystem; an error whose code names what is there, if that is no regular file.
 */
export function openRegular(path: PathLike, flags: number = constants.O_RDONLY, mode?: number): number {
  let fd: number | undefined;
  try {
    fd = openSync(path, flags | direct, mode);
    verifyRegular(fstatSync(fd), path);
    return fd;
  } catch (thrown) {
    if (fd !== undefined) closeSync(fd);
    throw named(path, thrown);
  }
}

/** The error of an open, or one that names what is there. */
export function named(path: PathLike, thrown: unknown): unknown {
  if (!irregular.has(errnoOf(thrown) ?? '')) return thrown;
  const stats = lstatSync(path, { throwIfNoEntry: false });
  return (stats && findIrregular(stats, path)) ?? thrown;
}

/** Of a symlink; of a socket; of a directory, a FIFO and a device without a driver, opened for writing. */
const irregular = new Set(['ELOOP', 'ENXIO', 'EISDIR', 'ENODEV']);

/** Reads a whole regular file. @throws as `openRegular`. */
export function readRegular(path: string, encoding: 'utf8' | 'latin1' = 'utf8'): string {
  const fd = openRegular(path);
  try {
    return readFileSync(fd, encoding);
  } finally {
    closeSync(fd);
  }
}

/** Writes all bytes: one call may write a part. @param position in the file; its present position, if absent. */
export function writeAll(fd: number, bytes: Uint8Array, position?: number): void {
  for (let at = 0; at < bytes.length; )
    at += writeSync(fd, bytes, at, bytes.length - at, position === undefined ? null : position + at);
}

/** Whether the error is that of `openRegular` for something that is no regular file. */
export function isIrregular(thrown: unknown): boolean {
  return kinds.some(([code]) => code === errnoOf(thrown));
}

const kinds: readonly (readonly [code: string, words: string, is: (stats: Stats) => boolean])[] = [
  ['FIFO', 'a FIFO', stats => stats.isFIFO()],
  ['SYMLINK', 'a symlink', stats => stats.isSymbolicLink()],
  ['DIRECTORY', 'a directory', stats => stats.isDirectory()],
  ['SOCKET', 'a socket', stats => stats.isSocket()],
  ['DEVICE', 'a device', stats => stats.isCharacterDevice() || stats.isBlockDevice()],
];

export function verifyRegular(stats: Stats, path: PathLike): void {
  const error = findIrregular(stats, path);
  if (error !== undefined) throw error;
}

function findIrregular(stats: Stats, path: PathLike): Error | undefined {
  const found = kinds.find(([, , is]) => is(stats));
  if (found === undefined) return undefined;
  const [code, words] = found;
  return Object.assign(new Error(`${String(path)} is ${words}, and must be a regular file; remove it`), {
    code,
  });
}
