import { fstatSync, ftruncateSync, readSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { type Extent, type FileState, type Holes, setSize, sizeOf } from '../../util/growing-file.ts';

/**
 * A partial file whose bytes do not come in order has, after its content, a table of those that are there: the number of
 * bytes from the start on, the beginning and the end of seven extents after them, zeros where there are fewer, and the
 * CRC-32 of all these, 64 bits each. Such a file is longer than its content, so that an older version starts it again.
 */
const tableBytes = 128;
const mostExtents = 7;

/** The bytes that are there from the start on, and the extents after the first hole. */
export type Filled = { readonly bytes: number; readonly extents: readonly Extent[] };

const nothing: Filled = { bytes: 0, extents: [] };

/**
 * Returns what a partial file has, if its `length` is above the `size` of the whole content; nothing if that is for
 * another reason.
 */
export function readFilled(fd: number, length: number, size: number): Filled {
  const table = Buffer.alloc(tableBytes);
  if (length !== size + tableBytes || readSync(fd, table, 0, tableBytes, size) !== tableBytes) return nothing;
  const number = (at: number): number => Number(table.readBigUInt64LE(at * 8));
  if (number(15) !== crc32(table.subarray(0, -8))) return nothing;
  const extents = Array.from({ length: mostExtents }, (_, at) => ({
    from: number(1 + 2 * at),
    to: number(2 + 2 * at),
  })).filter(({ to }) => to > 0);
  return { bytes: number(0), extents };
}

/** The holes of an open partial file. */
export function openHoles(fd: number, state: FileState, size: number, left: readonly Extent[]): Holes {
  let extents = left;
  return {
    get extents() {
      return extents;
    },
    fill(bytes, after) {
      extents = after.slice(0, mostExtents);
      const table = Buffer.alloc(tableBytes);
      const numbers = [bytes, ...extents.flatMap(({ from, to }) => [from, to])];
      for (const [at, number] of numbers.entries()) table.writeBigUInt64LE(BigInt(number), at * 8);
      table.writeBigUInt64LE(BigInt(crc32(table.subarray(0, -8))), tableBytes - 8);
      writeSync(fd, table, 0, tableBytes, size);
      setSize(state, bytes);
    },
    close() {
      extents = [];
      const bytes = sizeOf(state);
      if (fstatSync(fd).size > bytes) ftruncateSync(fd, bytes);
    },
  };
}
