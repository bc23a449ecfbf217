import { createHash, type Hash } from 'node:crypto';
import { readSync, writeSync } from 'node:fs';
import { type FileShare, lifeOf, setSize, sizeOf } from '../../util/growing-file.ts';

/**
 * Appends to a file of another thread, or hashes what is in it, or both. Bytes are written in their order: a process
 * that is killed leaves no hole.
 */
export type FileWriter = {
  /** @param hashes goes on with the hash, where that is of all that comes before. @throws as the file system does. */
  append(bytes: Uint8Array, hashes: boolean): void;
  /**
   * Reads and hashes of what is in the file and is not hashed, but a step at most. Answers the hash of all, in hex, when
   * there is no more. @throws as the file system does; if the file is shorter than it is said to be.
   */
  hashOn(): string | undefined;
};

/** Bytes hashed at a time of what is there, some 3 ms: files that share a thread take turns. */
const hashStep = 4 * 1024 * 1024;
/** What is read into, of all files: few enough bytes to be hashed while they are in the cache of the core. */
const buffer = Buffer.allocUnsafeSlow(256 * 1024);

export function openFileWriter({ fd, algorithm, state }: FileShare): FileWriter {
  let hash: Hash = createHash(algorithm);
  let hashed = 0;
  let life = lifeOf(state);

  /** What was hashed of an earlier life counts no more. */
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
