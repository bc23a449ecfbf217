import { createHash } from 'node:crypto';
import { closeSync, constants, fchmodSync, fchownSync, futimesSync, openSync, writeSync } from 'node:fs';
import type { Attributes } from '../oci/toc.ts';

/**
 * The content of a file on its way into the store. All calls are synchronous: they run in the worker's own thread, and
 * a promise for each would cost more than the calls.
 */
export type Body = {
  write(chunk: Uint8Array): void;
  /** Sets mode, owner and time, closes, and answers the sha256 in hex. */
  finish(): string;
  /** Closes what is half written. */
  abandon(): void;
};

export function openBody(path: string, attributes: Attributes): Body {
  const fd = create(path, attributes);
  const sha256 = createHash('sha256');
  return {
    write(chunk) {
      sha256.update(chunk);
      writeAll(fd, chunk);
    },
    finish() {
      try {
        setAttributes(fd, attributes);
      } finally {
        closeSync(fd);
      }
      return sha256.digest('hex');
    },
    abandon: () => closeSync(fd),
  };
}

/** A body that is here as a whole. */
export function writeBody(path: string, attributes: Attributes, bytes: Uint8Array): void {
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

function create(path: string, { mode }: Attributes): number {
  return openSync(path, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, mode & 0o777);
}

export function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}

/** Owner and mode only where they are not what creation gave: two calls less for nearly every file. */
function setAttributes(fd: number, { mode, uid, gid, mtime }: Attributes): void {
  if (uid !== ownUid || gid !== ownGid) fchownSync(fd, uid, gid);
  if ((mode & 0o777 & ~umask) !== mode) fchmodSync(fd, mode);
  const time = new Date(mtime); // of a number below 0 Node makes the present
  futimesSync(fd, time, time);
}
