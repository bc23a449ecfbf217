import type { DirectoryNode, FileNode } from '../tree/tree.ts';
import { type ChunkMap, countChunks } from './chunk-map.ts';
import { type Contents, listContents } from './contents.ts';
import { directoryBlocks } from './directory-blocks.ts';
import {
  chunkIndexSize,
  inodeSize,
  inodesAt,
  modeType,
  type Place,
  roundUp,
  slotSize,
  type Time,
  typeBits,
} from './format.ts';
import type { Inode } from './inode-table.ts';

/**
 * The files that contain the bytes of an image's files, given beside the image when it is mounted.
 *
 * `blockSize`: the unit of places and sizes; files in a tar are aligned to 512 bytes. `sizes`: those of the devices, in
 * blocks.
 */
export type Devices = { readonly blockSize: number; readonly sizes: readonly number[] };

/** An image whose bytes are determined. */
export type ImagePlan = {
  readonly contents: Contents;
  readonly blockSize: number;
  readonly devices: readonly number[];
  /** The time of inodes in the compact form. */
  readonly time: Time;
  /** The first block of the data area, which follows the inodes, and the number of all blocks. */
  readonly dataBlock: number;
  readonly blocks: number;
};

/**
 * Plans the image of a tree. The same tree and places give the same bytes. It yields now and then.
 *
 * @param placeOf where a file's bytes begin. They are at most 1 TiB, unless they are late, and the device has the last
 *   block as a whole.
 */
export function* planImage(
  root: DirectoryNode,
  { blockSize, sizes: devices }: Devices,
  placeOf: (file: FileNode) => Place,
): Generator<void, ImagePlan> {
  const contents = yield* listContents(root, placeOf);
  const time = contents.inodes.read(0);
  const { end, dataBlocks } = yield* placeInodes(contents, time, blockSize);
  const dataBlock = roundUp(inodesAt({ blockSize, devices }) + end, blockSize) / blockSize;
  return { contents, blockSize, devices, time, dataBlock, blocks: dataBlock + dataBlocks };
}

/** Gives each inode its slot, and its data in the image their first block, counted from the first one of all data. */
function* placeInodes(
  contents: Contents,
  time: Time,
  blockSize: number,
): Generator<void, { readonly end: number; readonly dataBlocks: number }> {
  const { inodes } = contents;
  let end = 0;
  let dataBlocks = 0;
  for (let inode = 0; inode < inodes.count(); inode++) {
    const type = inodes.modeOf(inode) & typeBits;
    if (type === modeType.directory)
      inodes.setSize(inode, yield* measureDirectory(contents, inode, blockSize));
    const found = inodes.read(inode);
    const isCompact = fitsCompact(found, time);
    const own = type === modeType.file ? 0 : found.size;
    const before = headSize({ isCompact, xattrs: found.xattrs });
    const head = own < found.size ? roundUp(before, chunkIndexSize) + chunkBytes(found) : before;
    const tail = own % blockSize;
    const isInline = tail > 0 && head + tail <= blockSize;
    const length = isInline ? head + tail : head;
    // Data that follow an inode must be in the block in which they begin.
    if (isInline && (end % blockSize) + length > blockSize) end = roundUp(end, blockSize);
    inodes.setPosition(inode, { slot: end / slotSize, isCompact, isInline, block: dataBlocks });
    end = roundUp(end + length, slotSize);
    dataBlocks += isInline ? Math.floor(own / blockSize) : Math.ceil(own / blockSize);
    if (inode % batch === 0) yield;
  }
  return { end, dataBlocks };
}

/** The inodes between two yields. */
const batch = 64;

/** Whether the compact form can express an inode, in an image of this time. Its links are counted before. */
function fitsCompact({ uid, gid, links, size, low, high, nanoseconds }: Inode, time: Time): boolean {
  if (uid > 0xffff || gid > 0xffff || links > 0xffff || size > 0xffff_ffff) return false;
  return low === time.low && high === time.high && nanoseconds === time.nanoseconds;
}

/** Returns the bytes of the entries of a file's chunks. */
function chunkBytes({ size, chunkSize }: Inode): number {
  return chunkIndexSize * (chunkSize === undefined ? 1 : countChunks({ size, chunkSize }));
}

/** Returns the bytes of the entries of a directory. */
function* measureDirectory(
  contents: Contents,
  directory: number,
  blockSize: number,
): Generator<void, number> {
  let size = 0;
  for (const { bytes } of directoryBlocks(contents, directory, blockSize)) {
    size = roundUp(size, blockSize) + bytes;
    yield;
  }
  return size;
}

/** Returns the bytes of an inode and its attributes. */
export function headSize({ isCompact, xattrs }: Pick<Inode, 'isCompact' | 'xattrs'>): number {
  return (isCompact ? inodeSize.compact : inodeSize.extended) + (xattrs?.length ?? 0);
}

/** Returns the map of a late file; undefined for every other inode. */
export function chunkMapOf(plan: ImagePlan, found: Inode): ChunkMap | undefined {
  const { chunkSize, device, size } = found;
  if (chunkSize === undefined) return undefined;
  const at = inodesAt(plan) + found.slot * slotSize + chunkAt(found);
  return { at, device, size, chunkSize, blockSize: plan.blockSize };
}

/** Returns the offset of the entry of a file's first chunk from its inode. */
export function chunkAt(found: Pick<Inode, 'isCompact' | 'xattrs'>): number {
  return roundUp(headSize(found), chunkIndexSize);
}
