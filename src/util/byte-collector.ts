/**
 * Collects bytes that arrive in chunks, in one buffer that grows: a chunk of one byte takes one byte, and not an object
 * of its own.
 */
export type ByteCollector = {
  /** Copies a chunk. Answers false, and keeps nothing of it, if there would be more than the limit. */
  add(chunk: Uint8Array): boolean;
  /** All bytes so far. What is added later does not change them. */
  bytes(): Buffer;
  /** Starts over. The bytes that were returned stay as they are. */
  clear(): void;
};

const leastBytes = 1024;

/** @param limit the most bytes that it keeps. */
export function createByteCollector(limit: number): ByteCollector {
  let buffer = Buffer.of();
  let length = 0;
  return {
    add(chunk) {
      const next = length + chunk.length;
      if (next > limit) return false;
      if (next > buffer.length) {
        const larger = Buffer.allocUnsafe(Math.min(limit, Math.max(next, 2 * buffer.length, leastBytes)));
        buffer.copy(larger, 0, 0, length);
        buffer = larger;
      }
      buffer.set(chunk, length);
      length = next;
      return true;
    },
    bytes: () => buffer.subarray(0, length),
    clear() {
      buffer = Buffer.of();
      length = 0;
    },
  };
}
