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
  modeOf(inode: number): number;
  ownerOf(inode: number): { readonly uid: number; readonly gid: number };
  timeOf(inode: number): Time;
  linksOf(inode: number): number;
  /** Gives an inode the compact form if that can express it, in an image of this time. Its links are counted before. */
  setForm(inode: number, time: Time): void;
  isCompact(inode: number): boolean;
  sizeOf(inode: number): number;
  setFirstEntry(directory: number, entry: number): void;
  firstEntryOf(directory: number): number;
  setSize(directory: number, size: number): void;
  /** The place of a file. */
  placeOf(inode: number): Place;
  hasPlace(inode: number, place: Place): boolean;
  /** The size of the chunks of a late file; undefined for another one. */
  chunkSizeOf(inode: number): number | undefined;
  lateFiles(): readonly number[];
  /** The target of a symlink. */
  targetOf(inode: number): number;
  /** The extended attributes, encoded; undefined if it has none. */
  xattrsOf(inode: number): Buffer | undefined;
  /** Sets where the inode is, and the first block of its data that is not in a device. */
  setPosition(inode: number, position: Position): void;
  positionOf(inode: number): Position;
};

/** `isInline`: the last part of its data follows the inode. */
export type Position = { readonly slot: number; readonly block: number; readonly isInline: boolean };

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
    columns.set(inode, modeAt, type | mode);
    columns.set(inode, uidAt, uid);
    columns.set(inode, gidAt, gid);
    columns.set(inode, lowAt, low);
    columns.set(inode, highAt, high);
    columns.set(inode, nanosecondsAt, nanoseconds);
    columns.set(inode, linksAt, links);
    const encoded = attributes.xattrs && encodeXattrs(attributes.xattrs);
    if (encoded !== undefined && encoded.length > 0) xattrs.set(inode, encoded);
    return inode;
  }

  const modeOf = (inode: number): number => columns.get(inode, modeAt) & 0xffff;
  const isFile = (inode: number): boolean => (modeOf(inode) & typeBits) === modeType.file;
  const sizeOf = (inode: number): number =>
    columns.get(inode, sizeAt) + (isFile(inode) ? (columns.get(inode, upperAt) >>> 16) * 2 ** 32 : 0);

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
      columns.set(inode, sizeAt, size % 2 ** 32);
      columns.set(inode, upperAt, Math.floor(size / 2 ** 32) * 0x1_0000 + device);
      columns.set(inode, placeAt, block);
      return inode;
    },
    addLink: inode => columns.set(inode, linksAt, columns.get(inode, linksAt) + 1),
    count: () => count,
    modeOf,
    ownerOf: inode => ({ uid: columns.get(inode, uidAt), gid: columns.get(inode, gidAt) }),
    timeOf: inode => ({
      low: columns.get(inode, lowAt),
      high: columns.get(inode, highAt),
      nanoseconds: columns.get(inode, nanosecondsAt),
    }),
    linksOf: inode => columns.get(inode, linksAt),
    sizeOf,
    setForm(inode, { low, high, nanoseconds }) {
      const isCompact =
        columns.get(inode, uidAt) <= 0xffff &&
        columns.get(inode, gidAt) <= 0xffff &&
        columns.get(inode, linksAt) <= 0xffff &&
        sizeOf(inode) <= 0xffff_ffff &&
        columns.get(inode, lowAt) === low &&
        columns.get(inode, highAt) === high &&
        columns.get(inode, nanosecondsAt) === nanoseconds;
      if (isCompact) columns.set(inode, modeAt, columns.get(inode, modeAt) | compactFlag);
    },
    isCompact: inode => (columns.get(inode, modeAt) & compactFlag) !== 0,
    setFirstEntry: (directory, entry) => columns.set(directory, placeAt, entry),
    firstEntryOf: directory => columns.get(directory, placeAt),
    setSize: (directory, size) => columns.set(directory, sizeAt, size),
    placeOf: inode => ({
      device: columns.get(inode, upperAt) & 0xffff,
      block: columns.get(inode, placeAt),
    }),
    hasPlace: (inode, { device, block }) =>
      columns.get(inode, placeAt) === block && (columns.get(inode, upperAt) & 0xffff) === device,
    chunkSizeOf: inode => chunkSizes.get(inode),
    lateFiles: () => [...chunkSizes.keys()],
    targetOf: inode => columns.get(inode, placeAt),
    xattrsOf: inode => xattrs.get(inode),
    setPosition(inode, { slot, block, isInline }) {
      columns.set(inode, slotAt, slot);
      if (isInline) columns.set(inode, modeAt, columns.get(inode, modeAt) | inlineFlag);
      if (!isFile(inode)) columns.set(inode, upperAt, block);
    },
    positionOf: inode => ({
      slot: columns.get(inode, slotAt),
      block: isFile(inode) ? 0 : columns.get(inode, upperAt),
      isInline: (columns.get(inode, modeAt) & inlineFlag) !== 0,
    }),
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
