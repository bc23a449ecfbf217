/** The bytes of a file that is written from its start to its end, with a part of them in memory. Gaps are zeros. */
export type Slices = {
  /** Makes room for the next bytes. Returns the bytes before them if there is none; they are valid until the next ones. */
  reserve(at: number, length: number): Buffer | undefined;
  /** The buffer with the reserved bytes, which are at `offset` in it, and zeros until they are written. */
  buffer(): Buffer;
  offset(at: number): number;
  /** The reserved bytes alone. */
  view(at: number, length: number): Buffer;
};

export function createSlices(size: number): Slices {
  let buffer = Buffer.alloc(size);
  let other = Buffer.alloc(size);
  let start = 0;
  return {
    reserve(at, length) {
      if (at + length <= start + size) return undefined;
      const full = buffer.subarray(0, at - start);
      [buffer, other] = [other, buffer];
      buffer.fill(0);
      start = at;
      return full;
    },
    buffer: () => buffer,
    offset: at => at - start,
    view: (at, length) => buffer.subarray(at - start, at - start + length),
  };
}
