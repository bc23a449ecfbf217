import type { Sink } from './contracts.ts';

/** Takes a download of `size` bytes into memory; for what is small. */
export function createMemorySink(size: number): Sink & { readonly bytes: Uint8Array } {
  const bytes = Buffer.allocUnsafe(size);
  let offset = 0;
  return {
    bytes,
    get offset() {
      return offset;
    },
    write(chunk) {
      bytes.set(chunk, offset);
      offset += chunk.length;
    },
    restart() {
      offset = 0;
    },
  };
}
