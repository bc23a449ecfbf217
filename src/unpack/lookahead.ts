/**
 * The bytes of a stream, consumed in order by a generator, which yields while it needs more. Nearly always they are
 * there: then `takeNow` and `skipNow` spare a generator.
 */
export type Lookahead = {
  push(chunk: Buffer): void;
  /** Marks the end of the stream. */
  end(): void;
  /** Returns so many bytes in one piece; fewer only at the end of the stream. */
  take(length: number): Generator<void, Buffer>;
  /** Returns at least one and at most so many bytes; none only at the end of the stream. */
  takeSome(length: number): Generator<void, Buffer>;
  /** The same as `take`; undefined, and nothing is taken, unless they are there in one piece. */
  takeNow(length: number): Buffer | undefined;
  /** Passes so many bytes if they are there in one piece, and answers whether they are. */
  skipNow(length: number): boolean;
  /** Passes so many bytes. Returns their number, which is smaller only at the end of the stream. */
  skip(length: number): Generator<void, number>;
  /** Returns how many bytes were taken or passed. */
  position(): number;
};

export function createLookahead(): Lookahead {
  let chunks: Buffer[] = [];
  /** The bytes of the first chunk that are behind. */
  let offset = 0;
  let held = 0;
  let isEnded = false;
  let position = 0;

  const present = (): number => (chunks[0]?.length ?? 0) - offset;

  function pass(length: number): void {
    offset += length;
    held -= length;
    position += length;
    if (present() > 0) return;
    chunks.shift();
    offset = 0;
  }

  function advance(length: number): Buffer {
    const taken = chunks[0]?.subarray(offset, offset + length) ?? nothing;
    pass(length);
    return taken;
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
    takeNow: length => (present() < length ? undefined : advance(length)),
    skipNow(length) {
      if (present() < length) return false;
      pass(length);
      return true;
    },
    *take(length) {
      while (lacks(length)) yield;
      const found = Math.min(length, held);
      if (present() < found) {
        chunks = [Buffer.concat(chunks).subarray(offset)];
        offset = 0;
      }
      return advance(found);
    },
    *takeSome(length) {
      while (lacks(1)) yield;
      return advance(Math.min(length, present()));
    },
    *skip(length) {
      let left = length;
      while (left > 0) {
        while (lacks(1)) yield;
        if (held === 0) break;
        const some = Math.min(left, present());
        pass(some);
        left -= some;
      }
      return length - left;
    },
  };
}

const nothing = Buffer.alloc(0);
