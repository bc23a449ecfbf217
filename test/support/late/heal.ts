import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { chunkEntries, countChunks, endOf } from '../../../src/erofs/chunk-map.ts';
import { openDirectory, statDirectory } from '../../../src/linux/directory.ts';
import { rereadErofs } from '../../../src/linux/erofs-metadata.ts';
import type { Shape } from './commands.ts';
import { planLateImage } from './image.ts';
import { patternAt } from './pattern.ts';

/** Writes all bytes of a late file, and then shows them. */
export async function healLateVolume(shape: Shape): Promise<void> {
  const { directory, size, chunkSize } = shape;
  const { map } = planLateImage(shape);
  const write = (name: string, bytes: Buffer, at: number): void => {
    const fd = openSync(join(directory, name), 'r+');
    writeSync(fd, bytes, 0, bytes.length, at);
    closeSync(fd);
  };
  for (let at = 0; at < size; at += chunkSize)
    write('data', patternAt(at, Math.min(chunkSize, size - at)), at);
  const end = endOf(map);
  if (end !== undefined) {
    const padding = Buffer.alloc(end.paddedTo - end.to);
    write('end', Buffer.concat([patternAt(end.from, end.to - end.from), padding]), end.from);
  }
  const { at, bytes } = chunkEntries(map, { from: 0, to: countChunks(map), isPresent: true });
  write('image', bytes, at);
  using mount = openDirectory(join(directory, 'mount'));
  await rereadErofs(join(directory, 'image'), statDirectory(mount).device).catch(() => {}); // most kernels need no such thing
}
