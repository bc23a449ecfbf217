import { createHash, type Hash, hash } from 'node:crypto';
import { closeSync, constants, openSync } from 'node:fs';
import { errnoOf } from '../../util/error.ts';
import { readStatus, statusWords } from '../../linux/stat.ts';
import { doInSlices } from '../../util/pace.ts';

/**
 * What the kernel says of files whose bytes were verified. `kept`: inode, size, mode, owner and time of the last write,
 * which stay while this program links and unlinks. `changed`: the times of the last change of the inodes (ctime), which
 * nobody can set, and which move with each link and unlink, too. Of one file each is these numbers, of several a hash
 * over all of them in order.
 */
export type Stamp = { readonly kept: string; readonly changed: string };

/** A file below a folder. A name is ASCII, or bytes, and may lead through folders; an empty one is the folder itself. */
export type FileAt = readonly [folder: string, name: string | Uint8Array];

/** Stamps the files of one item after the other: a folder that several lie in is opened once. */
export type Stamper = Disposable & {
  /** Yields now and then; the next one may begin when this one has ended. @returns undefined where one of the files is not there. */
  stamp(files: Iterable<FileAt>): Generator<void, Stamp | undefined>;
};

/** Files that are stamped between two yields. */
const step = 16;
/** Words of a struct statx: owner, group, mode, inode, size, time of the last write; time of the last change. */
const keptWords = [5, 6, 7, 8, 9, 10, 11, 28, 29, 30];
const changedWords = [24, 25, 26];
/** Hexadecimal digits of a hash that are kept. */
const hashLength = 40;
const O_PATH = 0x20_0000;

export function openStamper(): Stamper {
  const status = new Uint32Array(statusWords);
  const kept = createSum(status, keptWords);
  const changed = createSum(status, changedWords);
  const short = new Uint8Array(256);
  let folder: { readonly path: string; readonly fd: number } | undefined;

  const close = (): void => {
    if (folder !== undefined) closeSync(folder.fd);
    folder = undefined;
  };
  const enter = (path: string): number | undefined => {
    if (folder?.path === path) return folder.fd;
    close();
    const fd = openFolder(path);
    if (fd !== undefined) folder = { path, fd };
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
    [Symbol.dispose]: close,
  };
}

/** Opens a folder as a place only; undefined where there is none. */
function openFolder(path: string): number | undefined {
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

/** Files of which the numbers are hashed at once. */
const batch = 256;

/** Sums up the same words of one status after the other. */
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
