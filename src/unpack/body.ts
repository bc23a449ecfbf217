import { createHash } from 'node:crypto';
import { closeSync, constants, fchmodSync, fchownSync, ftruncateSync, futimesSync, openSync } from 'node:fs';
import type { EntryAttributes } from '../tree/toc.ts';
import { writeAll } from '../util/regular-file.ts';

/**
 * The content of a file that is being written to the store. All calls are synchronous: they run in the worker's own
 * thread, and a promise for each would cost more than the calls.
 */
export type Body = {
  write(chunk: Uint8Array): void;
  /** Leaves a hole, which reads as zeros. */
  skip(length: number): void;
  /** Sets mode, owner and time, closes, and returns the sha256 in hex. */
  finish(): string;
  /** Closes an incomplete file. */
  abandon(): void;
};

export function openBody(path: string, attributes: EntryAttributes): Body {
  const fd = create(path, attributes);
  const sha256 = createHash('sha256');
  let end = 0;
  let isHole = false;
  return {
    write(chunk) {
      sha256.update(chunk);
      writeAll(fd, chunk, end);
      end += chunk.length;
      isHole = false;
    },
    skip(length) {
      for (let left = length; left > 0; left -= zeros.length) sha256.update(zeros.subarray(0, left));
      end += length;
      isHole ||= length > 0;
    },
    finish() {
      if (isHole) ftruncateSync(fd, end);
      setAttributes(fd, attributes);
      closeSync(fd);
      return sha256.digest('hex');
    },
    abandon: () => closeSync(fd),
  };
}

/** A body that is in memory as a whole. */
export function writeBody(path: string, attributes: EntryAttributes, bytes: Uint8Array): void {
  const fd = create(path, attributes);
  try {
    writeAll(fd, bytes);
    setAttributes(fd, attributes);
  } finally {
    closeSync(fd);
  }
}

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
const umask = process.umask();
const [ownUid, ownGid] = [process.geteuid?.(), process.getegid?.()];

function create(path: string, { mode }: EntryAttributes): number {
  return openSync(path, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, mode & 0o777);
}

const zeros = new Uint8Array(64 * 1024);

/** Sets owner and mode only if they differ from those of creation: two calls less for nearly every file. */
function setAttributes(fd: number, { mode, uid, gid, mtime }: EntryAttributes): void {
  if (uid !== ownUid || gid !== ownGid) fchownSync(fd, uid, gid);
  if ((mode & 0o777 & ~umask) !== mode) fchmodSync(fd, mode);
  // Node replaces a number below 0 by the present time. Fractions of a second are set later (xattr-batch.ts).
  const time = new Date(Number(mtime / 1_000_000_000n) * 1000);
  futimesSync(fd, time, time);
}
