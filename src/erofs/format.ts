import { maxXattrs, sizeOfXattr, userPrefix } from '../tree/toc.ts';

/**
 * The bytes of an EROFS image (fs/erofs/erofs_fs.h in Linux), as far as this program writes them: without compression,
 * and with the content of files in other files, the devices. All numbers are little-endian.
 */

/** The number of an inode is its offset from the first one in slots. */
export const slotSize = 32;
/** Bytes of an inode: the compact form has the time of the image, and small numbers only. */
export const inodeSize = { compact: 32, extended: 64 } as const;
export const chunkIndexSize = 8;
export const direntSize = 12;

const superblockAt = 1024;
const superblockSize = 128;
const deviceSlotSize = 128;
const magic = 0xe0f5_e1e2;
const incompat = { chunkedFile: 4, deviceTable: 8 } as const;

/** The types in modes (inode(7)). */
export const modeType = { directory: 0o040000, file: 0o100000, symlink: 0o120000 } as const;

/** The types of directory entries, by those of modes. */
export const direntTypes: Readonly<Record<number, number>> = {
  [modeType.file]: 1,
  [modeType.directory]: 2,
  [modeType.symlink]: 7,
};

/** The bits of a mode that are its type. */
export const typeBits = 0o170000;

/** Where the data of an inode are: in blocks, in blocks and after the inode, in chunks of devices. */
export const layout = { plain: 0, inline: 2, chunks: 4 } as const;

/** The block of an inode without data. */
export const noBlock = 0xffff_ffff;

/** Most files are one chunk of 2^40 bytes, and so have no more. */
const wholeFile = 40;
/** A chunk names its device and its block. */
const chunkIndexes = 0x20;

/** `low` and `high`: 64 bits of seconds since 1970, of which numbers cannot hold all. */
export type Time = { readonly low: number; readonly high: number; readonly nanoseconds: number };

/** `blockSize`: a power of 2 from 512; the kernel supports no more than a page. `devices`: the blocks of each. */
export type Superblock = {
  readonly blockSize: number;
  readonly inodes: number;
  readonly blocks: number;
  readonly time: Time;
  readonly devices: readonly number[];
};

/** Returns the offset of the first inode, which is that of the root: after the superblock and the devices. */
export function inodesAt({ blockSize, devices }: Pick<Superblock, 'blockSize' | 'devices'>): number {
  return roundUp(superblockAt + superblockSize + devices.length * deviceSlotSize, blockSize);
}

/** Writes all that is before the inodes, into zeros. */
export function putSuperblock(to: Buffer, superblock: Superblock): void {
  const { blockSize, inodes, blocks, time, devices } = superblock;
  to.writeUInt32LE(magic, superblockAt);
  to[superblockAt + 12] = Math.log2(blockSize);
  to.writeUInt32LE(inodes, superblockAt + 16);
  to.writeUInt32LE(time.low, superblockAt + 24);
  to.writeUInt32LE(time.high, superblockAt + 28);
  to.writeUInt32LE(time.nanoseconds, superblockAt + 32);
  to.writeUInt32LE(blocks, superblockAt + 36);
  to.writeUInt32LE(inodesAt(superblock) / blockSize, superblockAt + 40);
  if (devices.length === 0) return;
  to.writeUInt32LE(incompat.deviceTable | incompat.chunkedFile, superblockAt + 80);
  to.writeUInt16LE(devices.length, superblockAt + 86);
  const table = superblockAt + superblockSize;
  to.writeUInt16LE(table / deviceSlotSize, superblockAt + 88);
  for (const [index, size] of devices.entries()) to.writeUInt32LE(size, table + index * deviceSlotSize + 64);
}

type InodeFields = Time & {
  readonly isCompact: boolean;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  readonly size: number;
};

/**
 * `number`: from 1. `data`: the first block of its data, or `chunkFormat`. `xattrs`: the bytes of its extended
 * attributes.
 */
type InodeData = {
  readonly number: number;
  readonly layout: (typeof layout)[keyof typeof layout];
  readonly data: number;
  readonly xattrs: number;
};

/** Writes an inode, into zeros. */
export function putInode(to: Buffer, at: number, inode: InodeFields, data: InodeData): void {
  put16(to, at, (inode.isCompact ? 0 : 1) | (data.layout << 1));
  put16(to, at + 2, data.xattrs === 0 ? 0 : (data.xattrs - xattrHeader) / 4 + 1);
  put16(to, at + 4, inode.mode);
  put32(to, at + 8, inode.size);
  put32(to, at + 16, data.data);
  put32(to, at + 20, data.number);
  if (inode.isCompact) {
    put16(to, at + 6, inode.links);
    put16(to, at + 24, inode.uid);
    put16(to, at + 26, inode.gid);
    return;
  }
  put32(to, at + 12, Math.floor(inode.size / 2 ** 32));
  put32(to, at + 24, inode.uid);
  put32(to, at + 28, inode.gid);
  put32(to, at + 32, inode.low);
  put32(to, at + 36, inode.high);
  put32(to, at + 40, inode.nanoseconds);
  put32(to, at + 44, inode.links);
}

/** Writes the lower 16 bits of a number, without the checks of Buffer's methods, which take longer than that. */
function put16(to: Buffer, at: number, value: number): void {
  to[at] = value;
  to[at + 1] = value >>> 8;
}

/** The same for 32 bits. */
function put32(to: Buffer, at: number, value: number): void {
  to[at] = value;
  to[at + 1] = value >>> 8;
  to[at + 2] = value >>> 16;
  to[at + 3] = value >>> 24;
}

/** What the inode of a file says of its chunks. @param chunkSize of a late file. */
export function chunkFormat(blockSize: number, chunkSize?: number): number {
  const exponent = chunkSize === undefined ? wholeFile : Math.log2(chunkSize);
  return chunkIndexes | (exponent - (31 - Math.clz32(blockSize)));
}

/**
 * Where the bytes of a file begin: a device, from 1, and a block of it. `chunkSize`: of a late file; another one is one
 * chunk.
 */
export type Place = { readonly device: number; readonly block: number; readonly chunkSize?: number };

/** Writes the chunk of a file, after its inode. */
export function putChunk(to: Buffer, at: number, { device, block }: Omit<Place, 'chunkSize'>): void {
  put16(to, at + 2, device);
  put32(to, at + 4, block);
}

/** `nameAt`: the offset of the name in the block of the entry; `type` is one of `direntTypes`. */
type Dirent = { readonly slot: number; readonly nameAt: number; readonly type: number };

export function putDirent(to: Buffer, at: number, { slot, nameAt, type }: Dirent): void {
  put32(to, at, slot);
  put16(to, at + 8, nameAt);
  to[at + 10] = type;
}

const xattrHeader = 12;
const xattrEntry = 4;
const userIndex = 1;

/**
 * Encodes extended attributes of the `user.` namespace as they follow an inode. Those that the format cannot express are
 * omitted. Values are latin1.
 */
export function encodeXattrs(xattrs: Readonly<Record<string, string>>): Buffer {
  const parts: Buffer[] = [Buffer.alloc(xattrHeader)];
  let left = maxXattrs;
  for (const [name, value] of Object.entries(xattrs)) {
    const size = sizeOfXattr(name, value.length);
    if (size === undefined || size > left) continue;
    const suffix = Buffer.from(name.slice(userPrefix.length));
    const entry = Buffer.alloc(size);
    entry[0] = suffix.length;
    entry[1] = userIndex;
    entry.writeUInt16LE(value.length, 2);
    suffix.copy(entry, xattrEntry);
    entry.write(value, xattrEntry + suffix.length, 'latin1');
    parts.push(entry);
    left -= size;
  }
  return parts.length === 1 ? Buffer.alloc(0) : Buffer.concat(parts);
}

export function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}
