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
 * Returns what a partial file of this `length` has: all of it, or what its table says if it is longer than the `size` of
 * the whole content; nothing if it is longer for another reason.
 */
export function readFilled(fd: number, length: number, size: number): Filled {
  if (length <= size) return { bytes: length, extents: [] };
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

/** Opens the holes of a partial file, and sets its state to what it has. */
export function openHoles(fd: number, state: FileState, size: number): Holes {
  const { size: length } = fstatSync(fd);
  const filled = readFilled(fd, length, size);
  let { extents } = filled;
  /** Whether anything comes after the bytes without a hole. */
  let isLonger = length > filled.bytes;
  setSize(state, filled.bytes);
  const close = (): void => {
    if (!isLonger) return;
    ftruncateSync(fd, sizeOf(state));
    extents = [];
    isLonger = false;
  };
  if (extents.length === 0) close();

  return {
    get extents() {
      return extents;
    },
    fill(bytes, after) {
      extents = after.slice(0, mostExtents);
      isLonger = true;
      const table = Buffer.alloc(tableBytes);
      const numbers = [bytes, ...extents.flatMap(({ from, to }) => [from, to])];
      for (const [at, number] of numbers.entries()) table.writeBigUInt64LE(BigInt(number), at * 8);
      table.writeBigUInt64LE(BigInt(crc32(table.subarray(0, -8))), tableBytes - 8);
      writeSync(fd, table, 0, tableBytes, size);
      setSize(state, bytes);
    },
    close,
  };
}
