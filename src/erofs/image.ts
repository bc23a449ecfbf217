import { type ChunkMap, countChunks, putChunks } from './chunk-map.ts';
import { directoryBlocks, putEntries } from './directory-blocks.ts';
import { chunkIndexSize, inodesAt, modeType, putSuperblock, slotSize, typeBits } from './format.ts';
import { chunkMapOf, type ImagePlan } from './image-plan.ts';
import { maxRecord, putRecord } from './inode-record.ts';
import { createSlices, type Slices } from './slices.ts';

const sliceBytes = 512 * 1024;
/** Linux 7 reads whole pages of an image, and fails where the file ends within one. No architecture has larger ones. */
const largestPage = 64 * 1024;

/**
 * Yields the bytes of an image in slices, in order. A slice is valid until the next one is asked for.
 *
 * The image has the superblock, the table of devices, the inodes, level by level of the tree, each with its attributes
 * and the end of its data, and then whole blocks: entries of directories, and long targets of symlinks. It ends with a
 * page, whatever the kernel's pages are.
 */
export function* writeImage(plan: ImagePlan): Generator<Buffer> {
  const { contents, blockSize, blocks } = plan;
  const slices = createSlices(Math.max(sliceBytes, inodesAt(plan)));
  putSuperblock(slices.view(0, inodesAt(plan)), { ...plan, inodes: contents.inodes.count() });
  yield* writeInodes(plan, slices);
  yield* writeBlocks(plan, slices);
  const end = blocks * blockSize;
  const rest = slices.reserve(end, Number.POSITIVE_INFINITY);
  if (rest !== undefined) yield rest;
  const ofPage = end % largestPage;
  if (ofPage > 0) yield Buffer.alloc(largestPage - ofPage);
}

function* writeInodes(plan: ImagePlan, slices: Slices): Generator<Buffer> {
  const { inodes } = plan.contents;
  const base = inodesAt(plan);
  for (let inode = 0; inode < inodes.count(); inode++) {
    const found = inodes.read(inode);
    const at = base + found.slot * slotSize;
    const full = slices.reserve(at, maxRecord);
    if (full !== undefined) yield full;
    putRecord(slices.buffer(), slices.offset(at), plan, inode, found);
    const map = chunkMapOf(plan, found);
    if (map !== undefined) yield* writeChunks(slices, map);
  }
}

/** The chunks whose entries are written at once. */
const chunkBatch = 4096;

/** Writes the entries of a late file, all of whose chunks are missing. */
function* writeChunks(slices: Slices, map: ChunkMap): Generator<Buffer> {
  const count = countChunks(map);
  for (let from = 0; from < count; from += chunkBatch) {
    const to = Math.min(from + chunkBatch, count);
    const [at, length] = [map.at + from * chunkIndexSize, (to - from) * chunkIndexSize];
    const full = slices.reserve(at, length);
    if (full !== undefined) yield full;
    putChunks(slices.view(at, length), map, { from, to, isPresent: false });
  }
}

function* writeBlocks({ contents, blockSize, dataBlock }: ImagePlan, slices: Slices): Generator<Buffer> {
  const { inodes, entries, targetOf } = contents;
  for (let inode = 0; inode < inodes.count(); inode++) {
    const type = inodes.modeOf(inode) & typeBits;
    if (type === modeType.file) continue;
    const { block: first, isInline, size } = inodes.read(inode);
    let at = (dataBlock + first) * blockSize;
    if (type === modeType.symlink) {
      const full = slices.reserve(at, size);
      if (full !== undefined) yield full;
      targetOf(inode).copy(slices.view(at, size), 0, 0, isInline ? size - (size % blockSize) : size);
      continue;
    }
    for (const block of directoryBlocks(contents, inode, blockSize)) {
      if (isInline && entries.isLast(block.to - 1)) continue;
      const full = slices.reserve(at, blockSize);
      if (full !== undefined) yield full;
      putEntries(slices.view(at, blockSize), contents, block);
      at += blockSize;
    }
  }
}

/** Whether it can be the name of the file of an image: a random UUID. */
export function isImageName(name: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(name);
}
