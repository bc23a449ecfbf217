import { bodyName } from '../tree/layer-files.ts';
import type { EntryAttributes } from '../tree/toc.ts';
import { writeBody } from './body.ts';

/**
 * Small bodies to write: their bytes one after the other, and the attributes of each, in doubles. Two threads share the
 * memory; a batch belongs to one of them at a time.
 */
export type BodyBatch = {
  readonly bytes: Uint8Array;
  readonly heads: Float64Array;
  readonly count: number;
};

const batchBytes = 256 * 1024;
const batchBodies = 512;
/** body, size, mode, uid, gid, and mtime in whole seconds: bodies with a finer time are not batched. */
const columns = 6;
const second = 1_000_000_000n;
/** A larger body takes longer to copy than to write. */
export const smallBody: number = 64 * 1024;

/** A batch that is being filled. */
export type BatchFill = {
  readonly batch: BodyBatch;
  fits(size: number): boolean;
  add(body: number, attributes: EntryAttributes, bytes: Uint8Array): void;
  clear(): void;
};

export function createBatch(): BatchFill {
  const bytes = new Uint8Array(new SharedArrayBuffer(batchBytes));
  const heads = new Float64Array(
    new SharedArrayBuffer(batchBodies * columns * Float64Array.BYTES_PER_ELEMENT),
  );
  let [count, end] = [0, 0];
  return {
    get batch() {
      return { bytes, heads, count };
    },
    fits: size => count < batchBodies && end + size <= batchBytes,
    add(body, { mode, uid, gid, mtime }, content) {
      let at = count * columns;
      for (const value of [body, content.length, mode, uid, gid, Number(mtime / second)]) heads[at++] = value;
      bytes.set(content, end);
      count++;
      end += content.length;
    },
    clear() {
      [count, end] = [0, 0];
    },
  };
}

/** Writes the bodies of a batch into the directory of their layer. @throws errors of the filesystem. */
export function writeBatch(into: string, { bytes, heads, count }: BodyBatch): void {
  let at = 0;
  const next = (): number => heads[at++] ?? 0;
  let start = 0;
  for (let left = count; left > 0; left--) {
    const path = `${into}/${bodyName(next())}`;
    const end = start + next();
    const attributes = { mode: next(), uid: next(), gid: next(), mtime: BigInt(next()) * second };
    writeBody(path, attributes, bytes.subarray(start, end));
    start = end;
  }
}
