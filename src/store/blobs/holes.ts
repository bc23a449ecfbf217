import { ftruncateSync, readSync, writeSync } from 'node:fs';
import { type FileState, type Holes, setSize, sizeOf } from '../../util/growing-file.ts';

/**
 * A partial file whose bytes do not come in order says after its content how many are there from its start on: this
 * number and its complement. Such a file is longer than its content, so that an older version starts it again.
 */
const endBytes = 16;
const mask = 2n ** 64n - 1n;

/**
 * Bytes from the start of a partial file that are there, if its `length` is above the `size` of the whole content; 0 if
 * that is for another reason.
 */
export function filledOf(fd: number, length: number, size: number): number {
  const end = Buffer.alloc(endBytes);
  if (length !== size + endBytes || readSync(fd, end, 0, endBytes, size) !== endBytes) return 0;
  const filled = end.readBigUInt64LE(0);
  return filled <= BigInt(size) && end.readBigUInt64LE(8) === (filled ^ mask) ? Number(filled) : 0;
}

/** Lets bytes be written anywhere in a partial file, until it is disposed: what comes after a hole is dropped then. */
export function openHoles(fd: number, state: FileState, size: number): Holes {
  const fill = (bytes: number): void => {
    const end = Buffer.alloc(endBytes);
    end.writeBigUInt64LE(BigInt(bytes), 0);
    end.writeBigUInt64LE(BigInt(bytes) ^ mask, 8);
    writeSync(fd, end, 0, endBytes, size);
    setSize(state, bytes);
  };
  fill(sizeOf(state));
  return { fill, [Symbol.dispose]: () => ftruncateSync(fd, sizeOf(state)) };
}
