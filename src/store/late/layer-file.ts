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
import { never } from '../../util/abortable.ts';
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
 * Copies the last chunk, of up to 64 MiB, unless it ends with a block: the kernel reads whole blocks, and a blob has its
 * exact size.
 */
export async function copyEnd(map: ChunkMap, data: string, to: string): Promise<void> {
  const end = endOf(map);
  if (end === undefined) return;
  const size = end.to - end.from;
  const from = openRegular(data);
  const fd = openRegular(to, constants.O_RDWR);
  try {
    const copied = await copyInPool({ fd: from, at: end.from }, { fd, at: end.from }, size, never);
    if (copied < size) throw new ArtifactError('corrupt', `${data} is shorter than its blob`);
    ftruncateSync(fd, end.paddedTo);
  } finally {
    closeSync(fd);
    closeSync(from);
  }
}

type Place = { readonly fd: number; readonly at: number };

/** Copies bytes in Node's pool, and returns how many: fewer if the file ends. @throws the signal's reason. */
export async function copyInPool(from: Place, to: Place, size: number, signal: AbortSignal): Promise<number> {
  const bytes = Buffer.alloc(Math.min(size, mostCopied));
  let done = 0;
  while (done < size) {
    const { bytesRead } = await readAt(
      from.fd,
      bytes,
      0,
      Math.min(bytes.length, size - done),
      from.at + done,
    );
    if (bytesRead === 0) break;
    const { bytesWritten } = await writeAt(to.fd, bytes, 0, bytesRead, to.at + done);
    done += bytesWritten; // a full disk takes a part, and fails the next write
    signal.throwIfAborted();
  }
  return done;
}
