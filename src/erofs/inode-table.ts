import { createColumns } from '../tree/columns.ts';
import type { EntryAttributes } from '../tree/toc.ts';
import { encodeXattrs, modeType, type Place, type Time, typeBits } from './format.ts';

/** The inodes of an image by number from 0, which is the root, in columns: 44 bytes each. */
export type InodeTable = {
  /** Returns the number of the new inode. */
  addDirectory(attributes: EntryAttributes): number;
  /** @param target an address; @param length its bytes. */
  addSymlink(attributes: EntryAttributes, target: number, length: number): number;
  addFile(attributes: EntryAttributes, size: number, place: Place): number;
  /** Counts one more name of a file, or one more directory in a directory. */
  addLink(inode: number): void;
  count(): number;
  read(inode: number): Inode;
  modeOf(inode: number): number;
  setFirstEntry(directory: number, entry: number): void;
  firstEntryOf(directory: number): number;
  setSize(directory: number, size: number): void;
  hasPlace(file: number, place: Place): boolean;
  lateFiles(): readonly number[];
  /** The address of the target of a symlink. */
  targetOf(inode: number): number;
  setPosition(inode: number, position: Position): void;
  slotOf(inode: number): number;
};

/**
 * Where and how an inode is written: in the compact form or not; whether the last part of its data follows it; the first
 * block of its data, counted from the first one of all data that is not in devices.
 */
export type Position = {
  readonly slot: number;
  readonly isCompact: boolean;
  readonly isInline: boolean;
  readonly block: number;
};

/**
 * An inode. `block`: that of a file is in its device. `chunkSize`: of a late file. `xattrs`: the extended attributes,
 * encoded, if it has any.
 */
export type Inode = Position &
  Time & {
    readonly mode: number;
    readonly uid: number;
    readonly gid: number;
    readonly links: number;
    readonly size: number;
    readonly device: number;
    readonly chunkSize: number | undefined;
    readonly xattrs: Buffer | undefined;
  };

const [modeAt, uidAt, gidAt, lowAt, highAt, nanosecondsAt] = [0, 1, 2, 3, 4, 5];
const [sizeAt, upperAt, placeAt, linksAt, slotAt] = [6, 7, 8, 9, 10];
const width = 11;
/** Beside the mode, which has 16 bits. */
const inlineFlag = 0x1_0000;
const compactFlag = 0x2_0000;
const second = 1_000_000_000n;

export function createInodeTable(): InodeTable {
  const columns = createColumns(width);
  /** Rare, and large. */
  const xattrs = new Map<number, Buffer>();
  const chunkSizes = new Map<number, number>();
  let count = 0;

  /** The time of the last inode: neighbors often have the same. */
  let latest = { mtime: 0n, time: toTime(0n) };

  function add(type: number, attributes: EntryAttributes, links: number): number {
    const inode = count++;
    const { mode, uid, gid, mtime } = attributes;
    if (latest.mtime !== mtime) latest = { mtime, time: toTime(mtime) };
    const { low, high, nanoseconds } = latest.time;
    const row = columns.page(inode);
    const at = columns.start(inode);
    row[at + modeAt] = type | mode;
    row[at + uidAt] = uid;
    row[at + gidAt] = gid;
    row[at + lowAt] = low;
    row[at + highAt] = high;
    row[at + nanosecondsAt] = nanoseconds;
    row[at + linksAt] = links;
    const encoded = attributes.xattrs && encodeXattrs(attributes.xattrs);
    if (encoded !== undefined && encoded.length > 0) xattrs.set(inode, encoded);
    return inode;
  }

  function read(inode: number): Inode {
    const row = columns.page(inode);
    const at = columns.start(inode);
    const mode = row[at + modeAt] ?? 0;
    const upper = row[at + upperAt] ?? 0;
    const isFile = (mode & typeBits) === modeType.file;
    return {
      isCompact: (mode & compactFlag) !== 0,
      isInline: (mode & inlineFlag) !== 0,
      mode: mode & 0xffff,
      uid: row[at + uidAt] ?? 0,
      gid: row[at + gidAt] ?? 0,
      low: row[at + lowAt] ?? 0,
      high: row[at + highAt] ?? 0,
      nanoseconds: row[at + nanosecondsAt] ?? 0,
      links: row[at + linksAt] ?? 0,
      size: (row[at + sizeAt] ?? 0) + (isFile ? (upper >>> 16) * 2 ** 32 : 0),
      slot: row[at + slotAt] ?? 0,
      device: isFile ? upper & 0xffff : 0,
      block: isFile ? (row[at + placeAt] ?? 0) : upper,
      chunkSize: chunkSizes.size === 0 ? undefined : chunkSizes.get(inode),
      xattrs: xattrs.size === 0 ? undefined : xattrs.get(inode),
    };
  }

  return {
    addDirectory: attributes => add(modeType.directory, attributes, 2),
    addSymlink(attributes, target, length) {
      const inode = add(modeType.symlink, { ...attributes, mode: 0o777 }, 1);
      columns.set(inode, sizeAt, length);
      columns.set(inode, placeAt, target);
      return inode;
    },
    addFile(attributes, size, { device, block, chunkSize }) {
      const inode = add(modeType.file, attributes, 1);
      if (chunkSize !== undefined) chunkSizes.set(inode, chunkSize);
      const row = columns.page(inode);
      const at = columns.start(inode);
      row[at + sizeAt] = size; // the lower 32 bits
      row[at + upperAt] = Math.floor(size / 2 ** 32) * 0x1_0000 + device;
      row[at + placeAt] = block;
      return inode;
    },
    addLink: inode => columns.set(inode, linksAt, columns.get(inode, linksAt) + 1),
    count: () => count,
    read,
    modeOf: inode => columns.get(inode, modeAt) & 0xffff,
    setFirstEntry: (directory, entry) => columns.set(directory, placeAt, entry),
    firstEntryOf: directory => columns.get(directory, placeAt),
    setSize: (directory, size) => columns.set(directory, sizeAt, size),
    hasPlace: (file, { device, block }) =>
      columns.get(file, placeAt) === block && (columns.get(file, upperAt) & 0xffff) === device,
    lateFiles: () => [...chunkSizes.keys()],
    targetOf: inode => columns.get(inode, placeAt),
    setPosition(inode, { slot, isCompact, isInline, block }) {
      const row = columns.page(inode);
      const at = columns.start(inode);
      const mode = row[at + modeAt] ?? 0;
      row[at + modeAt] = mode | (isCompact ? compactFlag : 0) | (isInline ? inlineFlag : 0);
      row[at + slotAt] = slot;
      if ((mode & typeBits) !== modeType.file) row[at + upperAt] = block;
    },
    slotOf: inode => columns.get(inode, slotAt),
  };
}

/** @param mtime nanoseconds since 1970. */
function toTime(mtime: bigint): Time {
  const nanoseconds = ((mtime % second) + second) % second;
  const seconds = (mtime - nanoseconds) / second;
  return {
    low: Number(BigInt.asUintN(32, seconds)),
    high: Number(BigInt.asUintN(32, seconds >> 32n)),
    nanoseconds: Number(nanoseconds),
  };
}
