import { closeSync, constants, readSync } from 'node:fs';
import { type ChunkMap, type ChunkRange, chunkEntries, countChunks } from '../../erofs/chunk-map.ts';
import type { Digest } from '../../oci/digest.ts';
import { openRegular, writeAll } from '../../util/regular-file.ts';
import type { LayerRecord } from './late-record.ts';

/** The image of a late view. `changed`: makes the kernel see what was written to it. */
export type LateImage = { readonly path: string; changed(): Promise<void> };

/** Makes the image read chunks from the file of their layer, or from its landing again. */
export async function mapChunks(map: ChunkMap, range: ChunkRange, image: LateImage): Promise<void> {
  const { at, bytes } = chunkEntries(map, range);
  const fd = openRegular(image.path, constants.O_RDWR);
  try {
    writeAll(fd, bytes, at);
  } finally {
    closeSync(fd);
  }
  await image.changed();
}

export function showChunks(map: ChunkMap, image: LateImage): Promise<void> {
  return mapChunks(map, { from: 0, to: countChunks(map), isPresent: true }, image);
}

/** Returns a byte for each chunk: 1 for those that an image shows. */
export function readShown(map: ChunkMap, { path }: Pick<LateImage, 'path'>): Uint8Array {
  const present = allChunks(map);
  const found = Buffer.alloc(present.bytes.length);
  const fd = openRegular(path);
  try {
    readSync(fd, found, 0, found.length, present.at);
  } finally {
    closeSync(fd);
  }
  const count = countChunks(map);
  const entry = found.length / count;
  return Uint8Array.from({ length: count }, (_, chunk) => {
    const at = chunk * entry;
    return found.compare(present.bytes, at, at + entry, at, at + entry) === 0 ? 1 : 0;
  });
}

/**
 * Returns the layers without lists whose chunks an image shows. A process that was killed may have shown some chunks of
 * one: all of it was verified before, and the others are shown now. Of a layer of which the image shows nothing, the
 * blob decides.
 */
export async function findShown(
  layers: readonly LayerRecord[],
  image: LateImage,
  isHere: (blob: Digest) => boolean,
): Promise<Set<number>> {
  const shown = new Set<number>();
  const fd = openRegular(image.path);
  try {
    for (const [layer, { digest, map, list }] of layers.entries()) {
      if (list !== undefined) continue;
      if (map === undefined) {
        if (isHere(digest)) shown.add(layer);
        continue;
      }
      const { at, bytes } = allChunks(map);
      const found = Buffer.alloc(bytes.length);
      readSync(fd, found, 0, found.length, at);
      const first = bytes.length / countChunks(map);
      if (!found.subarray(0, first).equals(bytes.subarray(0, first))) continue;
      if (!found.equals(bytes)) await showChunks(map, image);
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
