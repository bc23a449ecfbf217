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
import { type ChunkMap, chunkEntries, countChunks, endOf } from '../../erofs/chunk-map.ts';
import { allocateFile } from '../../linux/io.ts';
import { ArtifactError, errnoOf } from '../../util/error.ts';
import { openRegular } from '../../util/regular-file.ts';
import type { LayerRecord } from './late-record.ts';

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
  const bytes = Buffer.alloc(end.to - end.from);
  const from = openRegular(data);
  const fd = openRegular(to, constants.O_RDWR);
  try {
    const read = readSync(from, bytes, 0, bytes.length, end.from);
    if (read !== bytes.length) throw new ArtifactError('corrupt', `${data} is shorter than its blob`);
    writeSync(fd, bytes, 0, bytes.length, end.from);
    ftruncateSync(fd, end.paddedTo);
  } finally {
    closeSync(fd);
    closeSync(from);
  }
}

export function showChunks(map: ChunkMap, image: string): void {
  const { at, bytes } = allChunks(map);
  const fd = openRegular(image, constants.O_RDWR);
  try {
    writeSync(fd, bytes, 0, bytes.length, at);
  } finally {
    closeSync(fd);
  }
}

/**
 * Returns the layers whose chunks an image shows. A process that was killed may have shown some chunks of one: all of it
 * was verified before, and the others are shown now.
 */
export function findShown(layers: readonly LayerRecord[], image: string): Set<number> {
  const shown = new Set<number>();
  const fd = openRegular(image);
  try {
    for (const [layer, { map }] of layers.entries()) {
      if (map === undefined) continue;
      const { at, bytes } = allChunks(map);
      const found = Buffer.alloc(bytes.length);
      readSync(fd, found, 0, found.length, at);
      const first = bytes.length / countChunks(map);
      if (!found.subarray(0, first).equals(bytes.subarray(0, first))) continue;
      if (!found.equals(bytes)) showChunks(map, image);
      shown.add(layer);
    }
  } finally {
    closeSync(fd);
  }
  return shown;
}

function allChunks(map: ChunkMap): { readonly at: number; readonly bytes: Buffer } {
  return chunkEntries(map, { from: 0, to: countChunks(map), isPresent: true });
}
