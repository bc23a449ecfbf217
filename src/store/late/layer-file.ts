import {
  closeSync,
  constants,
  createReadStream,
  createWriteStream,
  ftruncateSync,
  read,
  write,
} from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { type ChunkMap, endOf } from '../../erofs/chunk-map.ts';
import { allocateFile } from '../../linux/io.ts';
import { ArtifactError, errnoOf } from '../../util/error.ts';
import { openRegular } from '../../util/regular-file.ts';

/** The bytes that are copied at once. */
const mostCopied = 1024 * 1024;
const [readAt, writeAt] = [promisify(read), promisify(write)];
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

/**
 * Copies the last chunk, of up to 64 MiB, in Node's pool, unless it ends with a block: the kernel reads whole blocks, and a
 * blob has its exact size.
 */
export async function copyEnd(map: ChunkMap, data: string, to: string): Promise<void> {
  const end = endOf(map);
  if (end === undefined) return;
  const bytes = Buffer.alloc(Math.min(end.to - end.from, mostCopied));
  const from = openRegular(data);
  const fd = openRegular(to, constants.O_RDWR);
  try {
    for (let at = end.from; at < end.to; ) {
      const { bytesRead } = await readAt(from, bytes, 0, Math.min(bytes.length, end.to - at), at);
      if (bytesRead === 0) throw new ArtifactError('corrupt', `${data} is shorter than its blob`);
      const { bytesWritten } = await writeAt(fd, bytes, 0, bytesRead, at);
      at += bytesWritten; // a full disk takes a part, and fails the next write
    }
    ftruncateSync(fd, end.paddedTo);
  } finally {
    closeSync(fd);
    closeSync(from);
  }
}
