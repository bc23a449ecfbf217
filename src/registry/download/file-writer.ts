import { createHash, type Hash } from 'node:crypto';
import { readSync, writeSync } from 'node:fs';
import { type FileShare, lifeOf, setSize, sizeOf, waitForRoom } from '../../util/growing-file.ts';

/**
 * Appends to a file of another thread, hashes its content, or both. Bytes are written in order: a killed process leaves
 * no hole.
 */
export type FileWriter = {
  /**
   * Returns a promise while the file has its limit: it resolves when more may be appended, and never rejects.
   *
   * @param hashes continues the hash, if it covers everything before. @throws errors of the filesystem.
   */
  append(bytes: Uint8Array, hashes: boolean): Promise<void> | undefined;
  /**
   * Reads and hashes one step of the content that is not hashed yet. Returns the hash of all of it, in hex, when there
   * is no more.
   *
   * @throws errors of the filesystem; an error if the file is shorter than reported.
   */
  hashOn(): string | undefined;
};

/** The bytes hashed in one step, about 3 ms: files that share a thread take turns. */
const hashStep = 4 * 1024 * 1024;
/** The read buffer of all files: small enough to be hashed while it is in the CPU cache. */
const buffer = Buffer.allocUnsafeSlow(256 * 1024);

export function openFileWriter({ fd, algorithm, state }: FileShare): FileWriter {
  let hash: Hash = createHash(algorithm);
  let hashed = 0;
  let life = lifeOf(state);

  /** Hashes of an earlier generation of the file no longer count. */
  const meetLife = (): void => {
    const now = lifeOf(state);
    if (life === now) return;
    hash = createHash(algorithm);
    hashed = 0;
    life = now;
  };
  const update = (bytes: Uint8Array): void => {
    hash.update(bytes);
    hashed += bytes.length;
  };

  return {
    append(bytes, hashes) {
      meetLife();
      const from = sizeOf(state);
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, from + at);
      if (hashes && hashed === from) update(bytes);
      setSize(state, from + bytes.length);
      return waitForRoom(state);
    },
    hashOn() {
      meetLife();
      const size = sizeOf(state);
      const to = Math.min(size, hashed + hashStep);
      for (let left = to - hashed; left > 0; left = to - hashed) {
        const bytes = readSync(fd, buffer, 0, Math.min(buffer.length, left), hashed);
        if (bytes === 0) throw new Error(`it ends after ${hashed} of ${size} bytes`);
        update(buffer.subarray(0, bytes));
      }
      return hashed === size ? hash.copy().digest('hex') : undefined;
    },
  };
}
