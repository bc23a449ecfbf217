import { createHash, type Hash } from 'node:crypto';
import { readSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import type { Algorithm } from '../oci/digest.ts';

/**
 * A piece of a file to hash: `from` 0 it begins, else goes on where the last piece of this `id` ended. The hash of all
 * pieces answers the `last` one.
 */
export type HashStep = {
  readonly id: number;
  readonly fd: number;
  readonly algorithm: Algorithm;
  readonly from: number;
  readonly to: number;
  readonly last: boolean;
};

/** One for each step, in their order; `hex` is empty but for the last. */
export type HashAnswer =
  | { readonly kind: 'hashed'; readonly hex: string }
  | { readonly kind: 'failed'; readonly message: string };

/** Bytes read at once: few enough to be hashed while they are in the cache of the core. */
const buffer = Buffer.allocUnsafeSlow(256 * 1024);
const hashes = new Map<number, Hash>();

function take({ id, fd, algorithm, from, to, last }: HashStep): string {
  const hash = from === 0 ? createHash(algorithm) : hashes.get(id);
  if (hash === undefined) throw new Error('the piece before this one could not be read');
  hashes.set(id, hash);
  for (let at = from; at < to; ) {
    const bytes = readSync(fd, buffer, 0, Math.min(buffer.length, to - at), at);
    if (bytes === 0) break; // another hash than expected comes of it
    hash.update(buffer.subarray(0, bytes));
    at += bytes;
  }
  if (!last) return '';
  hashes.delete(id);
  return hash.digest('hex');
}

function answer(step: HashStep): HashAnswer {
  try {
    return { kind: 'hashed', hex: take(step) };
  } catch (thrown) {
    hashes.delete(step.id);
    return { kind: 'failed', message: thrown instanceof Error ? thrown.message : String(thrown) };
  }
}

parentPort?.on('message', (step: HashStep) => {
  // A port of this process has no origin.
  // oxlint-disable-next-line unicorn/require-post-message-target-origin
  parentPort?.postMessage(answer(step));
});
