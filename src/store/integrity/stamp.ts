import { createHash, type Hash, hash } from 'node:crypto';
import { closeSync, constants, openSync } from 'node:fs';
import { readStatus, statusWords } from '../../linux/stat.ts';
import { errnoOf } from '../../util/error.ts';
import { doInSlices } from '../../util/pace.ts';

/**
 * The kernel's metadata of verified files. `kept`: inode, size, mode, owner and mtime, which do not change while this
 * program links and unlinks. `changed`: the ctime of the inodes, which nobody can set, and which changes with each link
 * and unlink too. For one file each is these numbers, for several a hash over all of them in order.
 */
export type Stamp = { readonly kept: string; readonly changed: string };

/**
 * A file below a directory. A name is ASCII, or bytes, and may contain subdirectories; an empty one is the directory
 * itself.
 */
export type FileAt = readonly [directory: string, name: string | Uint8Array];

/** Stamps the files of one item after the other: a directory that contains several is opened once. */
export type Stamper = Disposable & {
  /**
   * Yields now and then; the next call may start when this one has ended.
   *
   * @returns undefined if one of the files is missing.
   */
  stamp(files: Iterable<FileAt>): Generator<void, Stamp | undefined>;
};

/** The files that are stamped between two yields. */
const step = 16;
/** The words of a struct statx: owner, group, mode, inode, size, mtime; ctime. */
const keptWords = [5, 6, 7, 8, 9, 10, 11, 28, 29, 30];
const changedWords = [24, 25, 26];
/** The hexadecimal digits of a hash that are kept. */
const hashLength = 40;
const O_PATH = 0x20_0000;

export function openStamper(): Stamper {
  const room = spare ?? createRoom();
  spare = undefined;
  const { status, kept, changed, short } = room;
  let directory: { readonly path: string; readonly fd: number } | undefined;

  const close = (): void => {
    if (directory !== undefined) closeSync(directory.fd);
    directory = undefined;
  };
  const enter = (path: string): number | undefined => {
    if (directory?.path === path) return directory.fd;
    close();
    const fd = openDirectory(path);
    if (fd !== undefined) directory = { path, fd };
    return fd;
  };
  const terminate = (name: FileAt[1]): Uint8Array => {
    const { length } = name;
    const bytes = length < short.length ? short : new Uint8Array(length + 1);
    if (typeof name === 'string') for (let at = 0; at < length; at++) bytes[at] = name.charCodeAt(at);
    else bytes.set(name);
    bytes[length] = 0;
    return bytes;
  };

  return {
    *stamp(files) {
      kept.clear();
      changed.clear();
      let count = 0;
      for (const [path, name] of files) {
        const fd = enter(path);
        if (fd === undefined || !readStatus(fd, terminate(name), status)) return undefined;
        kept.add();
        changed.add();
        if (++count % step === 0) yield;
      }
      return { kept: kept.hex(), changed: changed.hex() };
    },
    [Symbol.dispose]() {
      close();
      spare = room;
    },
  };
}

/** The buffers of a stamper, which the next one uses again: a publish opens three. */
let spare: ReturnType<typeof createRoom> | undefined;

function createRoom() {
  const status = new Uint32Array(statusWords);
  return {
    status,
    kept: createSum(status, keptWords),
    changed: createSum(status, changedWords),
    short: new Uint8Array(256),
  };
}

/** Opens a directory with O_PATH; undefined if it does not exist. */
function openDirectory(path: string): number | undefined {
  try {
    return openSync(path, O_PATH | constants.O_DIRECTORY);
  } catch (thrown) {
    if (['ENOENT', 'ENOTDIR'].includes(errnoOf(thrown) ?? '')) return undefined;
    throw thrown;
  }
}

/** Stamps files in slices that leave the event loop free. @throws the signal's reason. */
export async function stampFiles(files: Iterable<FileAt>, signal: AbortSignal): Promise<Stamp | undefined> {
  using stamper = openStamper();
  return await doInSlices(stamper.stamp(files), signal);
}

/** The files whose numbers are hashed at once. */
const batch = 256;

/** Adds up the same words of several statuses. */
function createSum(status: Uint32Array, words: readonly number[]) {
  const rows = new Uint32Array(batch * words.length);
  const bytes = Buffer.from(rows.buffer);
  let at = 0;
  let sum: Hash | undefined;
  return {
    clear(): void {
      at = 0;
      sum = undefined;
    },
    add(): void {
      if (at === rows.length) {
        sum = (sum ?? createHash('sha256')).update(rows);
        at = 0;
      }
      for (const word of words) rows[at++] = status[word] ?? 0;
    },
    hex(): string {
      const length = at * rows.BYTES_PER_ELEMENT;
      if (sum === undefined && at <= words.length) return bytes.toString('hex', 0, length);
      const rest = bytes.subarray(0, length);
      const hex = sum === undefined ? hash('sha256', rest) : sum.update(rest).digest('hex');
      return hex.slice(0, hashLength);
    },
  };
}
