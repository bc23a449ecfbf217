/** The bytes of a stream, consumed in order by a generator, which yields while it needs more. */
export type Lookahead = {
  push(chunk: Buffer): void;
  /** Marks the end of the stream. */
  end(): void;
  /** Returns so many bytes in one piece; fewer only at the end of the stream. */
  take(length: number): Generator<void, Buffer>;
  /** Returns at least one and at most so many bytes; none only at the end of the stream. */
  takeSome(length: number): Generator<void, Buffer>;
  /** Returns how many bytes were taken. */
  position(): number;
};

export function createLookahead(): Lookahead {
  let chunks: Buffer[] = [];
  let held = 0;
  let isEnded = false;
  let position = 0;

  function advance(length: number): Buffer {
    const first = chunks[0] ?? nothing;
    if (length === first.length) chunks.shift();
    else chunks[0] = first.subarray(length);
    held -= length;
    position += length;
    return first.subarray(0, length);
  }

  const lacks = (length: number): boolean => held < length && !isEnded;

  return {
    push(chunk) {
      if (chunk.length === 0) return;
      chunks.push(chunk);
      held += chunk.length;
    },
    end() {
      isEnded = true;
    },
    position: () => position,
    *take(length) {
      while (lacks(length)) yield;
      const found = Math.min(length, held);
      if ((chunks[0]?.length ?? 0) < found) chunks = [Buffer.concat(chunks)];
      return advance(found);
    },
    *takeSome(length) {
      while (lacks(1)) yield;
      return advance(Math.min(length, chunks[0]?.length ?? 0));
    },
  };
}

const nothing = Buffer.alloc(0);
