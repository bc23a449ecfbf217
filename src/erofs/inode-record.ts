import { directoryBlocks, putEntries } from './directory-blocks.ts';
import { chunkFormat, layout, modeType, noBlock, putChunk, putInode, typeBits } from './format.ts';
import { chunkAt, headSize, type ImagePlan } from './image-plan.ts';

/** The maximum bytes of an inode with its attributes and the end of its data. */
export const maxRecord: number = 300 * 1024;

/**
 * Writes an inode with what follows it, into zeros: its attributes, and its chunk or the end of its data. The chunks of
 * a late file may be many, and are not written.
 */
export function putRecord(to: Buffer, plan: ImagePlan, inode: number): void {
  const { contents } = plan;
  const { inodes } = contents;
  const { isInline } = inodes.positionOf(inode);
  const xattrs = inodes.xattrsOf(inode);
  const isChunk = isFile(plan, inode) && inodes.sizeOf(inode) > 0;
  const { uid, gid } = inodes.ownerOf(inode);
  const { low, high, nanoseconds } = inodes.timeOf(inode);
  putInode(to, 0, {
    isCompact: inodes.isCompact(inode),
    layout: isChunk ? layout.chunks : isInline ? layout.inline : layout.plain,
    mode: inodes.modeOf(inode),
    uid,
    gid,
    low,
    high,
    nanoseconds,
    links: inodes.linksOf(inode),
    size: inodes.sizeOf(inode),
    data: isChunk ? chunkFormat(plan.blockSize, inodes.chunkSizeOf(inode)) : ownBlock(plan, inode),
    number: inode + 1,
    xattrs: xattrs?.length ?? 0,
  });
  const head = headSize(contents, inode);
  xattrs?.copy(to, head - xattrs.length);
  if (isChunk && inodes.chunkSizeOf(inode) === undefined)
    putChunk(to, chunkAt(contents, inode), inodes.placeOf(inode));
  if (isInline) putTail(to.subarray(head), plan, inode);
}

function isFile({ contents }: ImagePlan, inode: number): boolean {
  return (contents.inodes.modeOf(inode) & typeBits) === modeType.file;
}

/** Returns the first block of the data that the image itself has. */
function ownBlock(plan: ImagePlan, inode: number): number {
  return isFile(plan, inode) ? noBlock : plan.dataBlock + plan.contents.inodes.positionOf(inode).block;
}

function putTail(to: Buffer, { contents, blockSize }: ImagePlan, inode: number): void {
  const { inodes, entries, targetOf } = contents;
  if ((inodes.modeOf(inode) & typeBits) === modeType.symlink) {
    const size = inodes.sizeOf(inode);
    targetOf(inode).copy(to, 0, size - (size % blockSize));
    return;
  }
  for (const block of directoryBlocks(contents, inode, blockSize))
    if (entries.isLast(block.to - 1)) putEntries(to, contents, block);
}
