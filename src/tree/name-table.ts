import { randomFillSync } from 'node:crypto';
import { decodeName, encodeName, nameLength } from '../util/name.ts';
import { createArena, createColumns, offsetIn } from './columns.ts';

/**
 * Names in directories, each with a number: a million take 54 MB, and with a Map for each directory and a string for
 * each name three times that. A name is never removed. 0 is not a number.
 */
export type NameTable = {
  /** Whether a name has at most 255 bytes, and its path from the root no more than these. */
  fits(directory: number, name: string, maxPath: number): boolean;
  /** 0 if the directory has no such name. */
  find(directory: number, name: string): number;
  /** Returns its number, which is new if the directory had no such name. @param name at most 255 bytes. */
  add(directory: number, name: string): number;
  /** Returns the directory that contains the name; 0 for the root. */
  directoryOf(number: number): number;
  nameOf(number: number): string;
  /** Yields all names that a directory ever had, the first one first. */
  namesIn(directory: number): Generator<number>;
};

/** The root, which has no name. */
export const rootNumber = 1;

/** NAME_MAX of Linux, bytes. */
export const maxName = 255;

/** The names of a directory form a ring: the directory has the latest, whose next is the first. */
const [above, nameAt, after, latest, pathLength] = [0, 1, 2, 3, 4];
/**
 * The header of a record: the number of its own bytes, the number shared with another, self-contained record, and its
 * address.
 */
const [ownHead, sharedHead] = [2, 6];
/** Fewer shared bytes do not pay for the reference. */
const worthSharing = 8;

export function createNameTable(): NameTable {
  const columns = createColumns(5);
  const arena = createArena();
  let index = new Uint32Array(64);
  let last = rootNumber;

  /** Returns the position of a number in the index, or its free position. */
  function slotOf(directory: number, length: number): number {
    let at = hash(directory, length) & (index.length - 1);
    for (let known = index[at] ?? 0; known !== 0; known = index[at] ?? 0) {
      if (columns.get(known, above) === directory && isSame(columns.get(known, nameAt), length)) return at;
      at = (at + 1) & (index.length - 1);
    }
    return at;
  }

  function isSame(record: number, length: number): boolean {
    const page = arena.page(record);
    const at = offsetIn(record);
    const own = page[at] ?? 0;
    const shared = page[at + 1] ?? 0;
    if (own + shared !== length) return false;
    if (!equal(page, at + (shared === 0 ? ownHead : sharedHead), scratch, shared, own)) return false;
    if (shared === 0) return true;
    const other = page.readUInt32LE(at + 2);
    return equal(arena.page(other), offsetIn(other) + ownHead, scratch, 0, shared);
  }

  /** Copies the bytes of a name to the scratch buffer; returns their number. */
  function load(record: number): number {
    const page = arena.page(record);
    const at = offsetIn(record);
    const own = page[at] ?? 0;
    const shared = page[at + 1] ?? 0;
    const start = at + (shared === 0 ? ownHead : sharedHead);
    page.copy(scratch, shared, start, start + own);
    if (shared > 0) {
      const other = page.readUInt32LE(at + 2);
      const from = offsetIn(other) + ownHead;
      arena.page(other).copy(scratch, 0, from, from + shared);
    }
    return own + shared;
  }

  /** Returns the self-contained record that the latest name of the directory is, or refers to. */
  function neighbour(directory: number): number {
    const number = columns.get(directory, latest);
    if (number === 0) return 0;
    const record = columns.get(number, nameAt);
    const page = arena.page(record);
    const at = offsetIn(record);
    return (page[at + 1] ?? 0) === 0 ? record : page.readUInt32LE(at + 2);
  }

  function write(directory: number, length: number): number {
    const other = neighbour(directory);
    const common = other === 0 ? 0 : sharedLength(arena.page(other), offsetIn(other), length);
    const shared = common < worthSharing ? 0 : common;
    const head = shared === 0 ? ownHead : sharedHead;
    const record = arena.take(head + length - shared);
    const page = arena.page(record);
    const at = offsetIn(record);
    page[at] = length - shared;
    page[at + 1] = shared;
    if (shared > 0) page.writeUInt32LE(other, at + 2);
    scratch.copy(page, at + head, shared, length);
    return record;
  }

  function grow(): void {
    index = new Uint32Array(2 * index.length);
    for (let number = rootNumber + 1; number <= last; number++) {
      const length = load(columns.get(number, nameAt));
      let at = hash(columns.get(number, above), length) & (index.length - 1);
      while (index[at] !== 0) at = (at + 1) & (index.length - 1);
      index[at] = number;
    }
  }

  const find = (directory: number, name: string): number => {
    const length = encode(name);
    return length === undefined ? 0 : (index[slotOf(directory, length)] ?? 0);
  };

  return {
    find,
    fits(directory, name, maxPath) {
      const most = Math.min(maxName, maxPath - 1 - columns.get(directory, pathLength));
      return 3 * name.length <= most || nameLength(name) <= most; // only long names need counting
    },
    add(directory, name) {
      if (last > 0.7 * index.length) grow();
      const length = encode(name);
      if (length === undefined) throw new RangeError('a name of more than 255 bytes');
      const slot = slotOf(directory, length);
      const known = index[slot] ?? 0;
      if (known !== 0) return known;
      const number = ++last;
      index[slot] = number;
      columns.set(number, above, directory);
      columns.set(number, nameAt, write(directory, length));
      columns.set(number, pathLength, columns.get(directory, pathLength) + 1 + length);
      const previous = columns.get(directory, latest);
      columns.set(number, after, previous === 0 ? number : columns.get(previous, after));
      if (previous !== 0) columns.set(previous, after, number);
      columns.set(directory, latest, number);
      return number;
    },
    directoryOf: number => columns.get(number, above),
    nameOf: number => (number === rootNumber ? '' : decode(load(columns.get(number, nameAt)))),
    *namesIn(directory) {
      const end = columns.get(directory, latest);
      for (let at = end; at !== 0; ) {
        at = columns.get(at, after);
        yield at;
        if (at === end) return;
      }
    },
  };
}

/** The bytes of the present name. */
const scratch = Buffer.alloc(maxName);

/** Encodes a name into the scratch buffer; returns its number of bytes, undefined if they are too many. */
function encode(name: string): number | undefined {
  if (name.length > maxName) return undefined;
  for (let at = 0; at < name.length; at++) {
    const code = name.charCodeAt(at);
    if (code >= 0x80) return encodeWide(name);
    scratch[at] = code;
  }
  return name.length;
}

function encodeWide(name: string): number | undefined {
  const bytes = encodeName(name);
  if (bytes.length > maxName) return undefined;
  bytes.copy(scratch);
  return bytes.length;
}

function decode(length: number): string {
  for (let at = 0; at < length; at++) {
    if ((scratch[at] ?? 0) >= 0x80) return decodeName(scratch.subarray(0, length));
  }
  return scratch.toString('latin1', 0, length);
}

function equal(a: Buffer, fromA: number, b: Buffer, fromB: number, length: number): boolean {
  for (let at = 0; at < length; at++) if (a[fromA + at] !== b[fromB + at]) return false;
  return true;
}

/** Returns the number of leading bytes that the scratch buffer and a self-contained record have in common. */
function sharedLength(page: Buffer, at: number, length: number): number {
  const most = Math.min(length, page[at] ?? 0);
  let shared = 0;
  while (shared < most && page[at + ownHead + shared] === scratch[shared]) shared++;
  return shared;
}

/**
 * Simple tabulation hashing: a random number for each byte at each position, combined without carry. Without the
 * numbers, nobody can make names that collide, which would take quadratic time.
 */
const tabulation = randomFillSync(new Uint32Array((maxName + 5) * 256));

function hash(directory: number, length: number): number {
  let sum = tabulation[maxName * 256 + length] ?? 0;
  for (let at = 0; at < length; at++) sum ^= tabulation[at * 256 + (scratch[at] ?? 0)] ?? 0;
  for (let byte = 0; byte < 4; byte++) {
    sum ^= tabulation[(maxName + 1 + byte) * 256 + ((directory >>> (8 * byte)) & 0xff)] ?? 0;
  }
  return sum >>> 0;
}
