import { createHash, type Hash } from 'node:crypto';
import { readSync, writeSync } from 'node:fs';
import { type FileShare, lifeOf, setSize, sizeOf } from '../util/growing-file.ts';

/**
 * Appends to a file of another thread, or hashes what is in it, or both. Bytes are written in their order: a process
 * that is killed leaves no hole.
 */
export type FileFill = {
  /** @param hashes goes on with the hash, where that is of all that comes before. @throws as the file system does. */
  append(bytes: Uint8Array, hashes: boolean): void;
  /**
   * Reads and hashes what is in the file beyond what is hashed. Answers the hash of all up to there, in hex; undefined
   * where that is less, or more. @throws as the file system does.
   */
  hashUpTo(to: number): string | undefined;
};

/** What is read into, of all files: few enough bytes to be hashed while they are in the cache of the core. */
const buffer = Buffer.allocUnsafeSlow(256 * 1024);

export function openFileFill({ fd, algorithm, state }: FileShare): FileFill {
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
    hashUpTo(to) {
      meetLife();
      for (let left = to - hashed; left > 0; left = to - hashed) {
        const bytes = readSync(fd, buffer, 0, Math.min(buffer.length, left), hashed);
        if (bytes === 0) break;
        update(buffer.subarray(0, bytes));
      }
      return hashed === to ? hash.copy().digest('hex') : undefined;
    },
  };
}
