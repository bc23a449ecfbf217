import { createCipheriv } from 'node:crypto';

/** What a cipher counts in. */
const blockBytes = 16;
const pieceBytes = 1024 * 1024;

/**
 * Yields the bytes from `from` to `to` of endless bytes that cannot be compressed, as weights cannot: always the same ones
 * for the same seed. A piece is at most 1 MiB.
 */
export function* noise(seed: number, from: number, to: number): Generator<Uint8Array> {
  const counter = Buffer.alloc(blockBytes);
  counter.writeBigUInt64BE(BigInt(Math.floor(from / blockBytes)), blockBytes / 2);
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(blockBytes, seed), counter);
  cipher.update(Buffer.alloc(from % blockBytes));
  const zeros = Buffer.alloc(Math.min(pieceBytes, to - from));
  for (let at = from; at < to; at += pieceBytes) yield cipher.update(zeros.subarray(0, to - at));
}
