import type { Contents } from './contents.ts';
import { direntSize, direntTypes, putDirent, typeBits } from './format.ts';
import { copyName, nameLengthAt } from './names.ts';

/** Entries `from` to `to` - 1 of a directory, which take so many bytes of one block. */
export type DirectoryBlock = { readonly from: number; readonly to: number; readonly bytes: number };

/** Distributes the entries of a directory to blocks: each has the entries, and then their names. */
export function* directoryBlocks(
  { inodes, entries, names }: Pick<Contents, 'inodes' | 'entries' | 'names'>,
  directory: number,
  blockSize: number,
): Generator<DirectoryBlock> {
  let from = inodes.firstEntryOf(directory);
  let bytes = 0;
  for (let entry = from; ; entry++) {
    const needs = direntSize + nameLengthAt(names, entries.nameOf(entry));
    if (bytes + needs > blockSize) {
      yield { from, to: entry, bytes };
      from = entry;
      bytes = 0;
    }
    bytes += needs;
    if (!entries.isLast(entry)) continue;
    yield { from, to: entry + 1, bytes };
    return;
  }
}

/** Writes the entries of a block, and after them their names. */
export function putEntries(
  to: Buffer,
  { inodes, entries, names }: Pick<Contents, 'inodes' | 'entries' | 'names'>,
  { from, to: end }: DirectoryBlock,
): void {
  let nameAt = direntSize * (end - from);
  for (let entry = from, at = 0; entry < end; entry++, at += direntSize) {
    const inode = entries.inodeOf(entry);
    const type = direntTypes[inodes.modeOf(inode) & typeBits] ?? 0;
    putDirent(to, at, { slot: inodes.slotOf(inode), nameAt, type });
    nameAt += copyName(names, entries.nameOf(entry), to, nameAt);
  }
}
