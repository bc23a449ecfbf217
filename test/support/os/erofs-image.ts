import { closeSync, openSync, writeSync } from 'node:fs';
import { writeImage } from '../../../src/erofs/image.ts';
import { planImage } from '../../../src/erofs/image-plan.ts';
import type { DirectoryNode } from '../../../src/tree/tree.ts';
import { doAtOnce } from '../../../src/util/pace.ts';

/**
 * Writes the image of a tree whose files have their bytes in one device, from the block that `body` names. Returns the
 * bytes of the image.
 */
export function writeImageFile(
  path: string,
  root: DirectoryNode,
  { blockSize = 512, blocks }: { readonly blockSize?: number; readonly blocks: number },
): number {
  const devices = { blockSize, sizes: [blocks] };
  const plan = doAtOnce(planImage(root, devices, ({ body }) => ({ device: 1, block: body })));
  const fd = openSync(path, 'wx');
  let length = 0;
  try {
    for (const slice of writeImage(plan)) length += writeSync(fd, slice);
  } finally {
    closeSync(fd);
  }
  return length;
}
