import {
  closeSync,
  constants,
  createReadStream,
  createWriteStream,
  ftruncateSync,
  readSync,
  writeSync,
} from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { type ChunkMap, endOf } from '../../erofs/chunk-map.ts';
import { allocateFile } from '../../linux/io.ts';
import { ArtifactError, errnoOf } from '../../util/error.ts';
import { openRegular } from '../../util/regular-file.ts';

/** The bytes that are copied at once. */
const mostCopied = 1024 * 1024;
/** A file has at most so many chunks, each with an entry of 8 bytes in the image. */
const maxChunks = 2 ** 16;

export function chunkSizeOf(size: number): number {
  let chunkSize = 1024 * 1024;
  while (size > chunkSize * maxChunks) chunkSize *= 2;
  return chunkSize;
}

/** Not every filesystem can take room ahead. */
export async function allocate(path: string, size: number): Promise<void> {
  const fd = openRegular(path, constants.O_RDWR);
  try {
    await allocateFile(fd, size).catch((thrown: unknown) => {
      if (errnoOf(thrown) !== 'EOPNOTSUPP') throw thrown;
    });
  } finally {
    closeSync(fd);
  }
}

/**
 * Gives the file of a layer the bytes of its blob. The file of another late view may be the same one, and shown: it is
 * never shorter meanwhile.
 */
export async function writeOver(path: string, blob: string): Promise<void> {
  const from = createReadStream('', { fd: openRegular(blob), highWaterMark: 1024 * 1024 });
  await pipeline(from, createWriteStream('', { fd: openRegular(path, constants.O_WRONLY), start: 0 }));
}

/** Copies the last chunk, unless it ends with a block: the kernel reads whole blocks, and a blob has its exact size. */
export function copyEnd(map: ChunkMap, data: string, to: string): void {
  const end = endOf(map);
  if (end === undefined) return;
  const bytes = Buffer.alloc(Math.min(end.to - end.from, mostCopied));
  const from = openRegular(data);
  const fd = openRegular(to, constants.O_RDWR);
  try {
    for (let at = end.from; at < end.to; ) {
      const read = readSync(from, bytes, 0, Math.min(bytes.length, end.to - at), at);
      if (read === 0) throw new ArtifactError('corrupt', `${data} is shorter than its blob`);
      writeSync(fd, bytes, 0, read, at);
      at += read;
    }
    ftruncateSync(fd, end.paddedTo);
  } finally {
    closeSync(fd);
    closeSync(from);
  }
}
