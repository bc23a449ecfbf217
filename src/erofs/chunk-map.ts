import { chunkIndexSize, putChunk, roundUp } from './format.ts';

/** A file whose bytes may come after the mount. `chunkSize`: a power of 2, at least the size of a block. */
export type LateFile = { readonly size: number; readonly chunkSize: number };

/**
 * The chunks of a late file, as its image maps them. A chunk is missing or present: its entry names a device with an even
 * number, the landing, or the next one, which has the bytes at the same offset. Only one bit differs, so that an image
 * can be written while it is mounted: the kernel reads an entry when it reads bytes of the chunk.
 */
export type ChunkMap = LateFile & {
  /** The offset of the first entry in the image. */
  readonly at: number;
  /** The landing; the last chunk has one of its own unless it ends with a block. */
  readonly device: number;
  readonly blockSize: number;
};

/** The number of a landing, plus 1, is that of the file with its bytes. */
const landings = { whole: 0, end: 2 } as const;

export function countChunks({ size, chunkSize }: LateFile): number {
  return Math.ceil(size / chunkSize);
}

/** Chunks `from` to `to` - 1. */
export type ChunkRange = { readonly from: number; readonly to: number; readonly isPresent: boolean };

/** Returns entries of chunks, and their offset in the image. Present chunks are in their files. */
export function chunkEntries(
  map: ChunkMap,
  range: ChunkRange,
): { readonly at: number; readonly bytes: Buffer } {
  const bytes = Buffer.alloc((range.to - range.from) * chunkIndexSize);
  putChunks(bytes, map, range);
  return { at: map.at + range.from * chunkIndexSize, bytes };
}

/** Writes entries of chunks, into zeros. */
export function putChunks(to: Buffer, map: ChunkMap, range: ChunkRange): void {
  const { device, chunkSize, blockSize } = map;
  const last = endOf(map) === undefined ? undefined : countChunks(map) - 1;
  for (let chunk = range.from; chunk < range.to; chunk++) {
    const landing = device + (chunk === last ? landings.end : landings.whole);
    putChunk(to, (chunk - range.from) * chunkIndexSize, {
      device: landing + (range.isPresent ? 1 : 0),
      block: chunk * (chunkSize / blockSize),
    });
  }
}

/**
 * Returns what the file with the end of a late file must have before its last chunk is present: the bytes from `from` to
 * `to`, at the same offset, followed by zeros until `paddedTo`. The kernel reads whole blocks. Undefined for a file of
 * whole blocks, which needs no such file.
 */
export function endOf({
  size,
  chunkSize,
  blockSize,
}: Pick<ChunkMap, 'size' | 'chunkSize' | 'blockSize'>):
  | { readonly from: number; readonly to: number; readonly paddedTo: number }
  | undefined {
  if (size % blockSize === 0) return undefined;
  return { from: size - (size % chunkSize), to: size, paddedTo: roundUp(size, blockSize) };
}
