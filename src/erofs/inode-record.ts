import { directoryBlocks, putEntries } from './directory-blocks.ts';
import { chunkFormat, layout, modeType, noBlock, putChunk, putInode, typeBits } from './format.ts';
import { chunkAt, headSize, type ImagePlan } from './image-plan.ts';
import type { Inode } from './inode-table.ts';

/** The maximum bytes of an inode with its attributes and the end of its data. */
export const maxRecord: number = 300 * 1024;

/**
 * Writes an inode with what follows it, into zeros: its attributes, and its chunk or the end of its data. The chunks of
 * a late file may be many, and are not written.
 */
export function putRecord(to: Buffer, at: number, plan: ImagePlan, inode: number, found: Inode): void {
  const { isInline, xattrs, chunkSize } = found;
  const isFile = (found.mode & typeBits) === modeType.file;
  const isChunk = isFile && found.size > 0;
  putInode(to, at, found, {
    number: inode + 1,
    layout: isChunk ? layout.chunks : isInline ? layout.inline : layout.plain,
    data: isChunk ? chunkFormat(plan.blockSize, chunkSize) : isFile ? noBlock : plan.dataBlock + found.block,
    xattrs: xattrs?.length ?? 0,
  });
  const head = headSize(found);
  xattrs?.copy(to, at + head - xattrs.length);
  if (isChunk && chunkSize === undefined) putChunk(to, at + chunkAt(found), found);
  if (isInline) putTail(to.subarray(at + head), plan, inode, found);
}

function putTail(to: Buffer, { contents, blockSize }: ImagePlan, inode: number, { mode, size }: Inode): void {
  if ((mode & typeBits) === modeType.symlink) {
    contents.targetOf(inode).copy(to, 0, size - (size % blockSize));
    return;
  }
  for (const block of directoryBlocks(contents, inode, blockSize))
    if (contents.entries.isLast(block.to - 1)) putEntries(to, contents, block);
}
