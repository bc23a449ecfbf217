import { createHash, type Hash } from 'node:crypto';
import { readSync } from 'node:fs';
import type { Algorithm } from '../oci/digest.ts';
import { answerQuestions } from '../util/thread.ts';

/**
 * A piece of a file to hash: `from` 0 it begins, else goes on where the last piece of this `id` ended. The hash of all
 * pieces, in hex, answers the `last` one.
 */
export type HashStep = {
  readonly id: number;
  readonly fd: number;
  readonly algorithm: Algorithm;
  readonly from: number;
  readonly to: number;
  readonly last: boolean;
};

/** Bytes read at once: few enough to be hashed while they are in the cache of the core. */
const buffer = Buffer.allocUnsafeSlow(256 * 1024);
const hashes = new Map<number, Hash>();

function take({ id, fd, algorithm, from, to, last }: HashStep): string | undefined {
  const hash = from === 0 ? createHash(algorithm) : hashes.get(id);
  if (hash === undefined) throw new Error('the piece before this one could not be read');
  hashes.set(id, hash);
  try {
    for (let at = from; at < to; ) {
      const bytes = readSync(fd, buffer, 0, Math.min(buffer.length, to - at), at);
      if (bytes === 0) break; // another hash than expected comes of it
      hash.update(buffer.subarray(0, bytes));
      at += bytes;
    }
  } catch (thrown) {
    hashes.delete(id);
    throw thrown;
  }
  if (!last) return undefined;
  hashes.delete(id);
  return hash.digest('hex');
}

answerQuestions(take);
