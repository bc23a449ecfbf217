/** A window on a stream, from a place on that only moves forward: raw bytes to read again once they are understood. */
export type Tape = {
  /** The place, and the end of what was pushed; offsets from the start of the stream. The place may be ahead. */
  readonly at: number;
  readonly end: number;
  push(chunk: Buffer): void;
  /** Moves the place; what is before it is let go. */
  advance(to: number): void;
  /** Bytes from the place on, fewer where there are not so many yet. */
  peek(length: number): Buffer;
};

export function createTape(): Tape {
  let chunks: Buffer[] = [];
  /** Offset of the first chunk. */
  let start = 0;
  let at = 0;
  let end = 0;
  return {
    get at() {
      return at;
    },
    get end() {
      return end;
    },
    push(chunk) {
      chunks.push(chunk);
      end += chunk.length;
      this.advance(at);
    },
    advance(to) {
      at = to;
      for (let first = chunks[0]; first !== undefined && start + first.length <= at; first = chunks[0]) {
        start += first.length;
        chunks.shift();
      }
    },
    peek(length) {
      const from = at - start;
      if (chunks.length > 1 && from + length > (chunks[0]?.length ?? 0)) {
        chunks = [Buffer.concat(chunks).subarray(from)];
        start = at;
      }
      return chunks[0]?.subarray(at - start, at - start + length) ?? Buffer.alloc(0);
    },
  };
}
