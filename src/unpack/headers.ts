import { decodeName } from '../util/name.ts';

/** PAX records by key. Values are bytes, because xattrs and names need not be UTF-8 (POSIX pax, "Extended Header"). */
export type PaxRecords = ReadonlyMap<string, Buffer>;

/** The fields of a header block. Invalid numbers are NaN; `mtime` is in seconds. */
export type Header = {
  readonly typeflag: string;
  readonly name: string;
  readonly linkname: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
  readonly isGnu: boolean;
};

export const blockSize = 512;

/** Returns the bytes from a body of this size to the end of its last block. */
export function paddingOf(size: number): number {
  return (blockSize - (size % blockSize)) % blockSize;
}

export function isZero(bytes: Buffer): boolean {
  return bytes.every(byte => byte === 0);
}

/**
 * Parses a block as Go's archive/tar does, in the formats of V7, POSIX, GNU and star.
 *
 * @throws Error for a wrong checksum.
 */
export function parseHeader(block: Buffer): Header {
  if (!hasChecksum(block)) throw new Error('the checksum of a header is wrong');
  const format = formatOf(block);
  const prefix = prefixOf(block, format);
  const name = parseText(block, 0, 100);
  return {
    typeflag: String.fromCharCode(block[156] ?? 0),
    name: prefix === '' ? name : `${prefix}/${name}`,
    linkname: parseText(block, 157, 100),
    mode: parseNumber(block, 100, 8),
    uid: parseNumber(block, 108, 8),
    gid: parseNumber(block, 116, 8),
    size: parseNumber(block, 124, 12),
    mtime: parseNumber(block, 136, 12),
    isGnu: format === 'gnu',
  };
}

/** The sum of all bytes, with its own field as spaces; old programs of Sun added signed bytes. */
function hasChecksum(block: Buffer): boolean {
  const own = { at: 148, length: 8 };
  const sum = parseNumber(block, own.at, own.length);
  const rest = sum - own.length * 0x20;
  scratch.set(block);
  scratch.fill(0, own.at, own.at + own.length);
  const unsigned = sumOfScratch();
  if (rest === unsigned) return true;
  return rest === unsigned - scratch.filter(byte => byte >= 0x80).length * 0x100;
}

/** A header, aligned to words: its bytes are read four at a time. */
const scratch = new Uint8Array(blockSize);
const words = new Uint32Array(scratch.buffer);

/** Adds the bytes in pairs, 16 bits for each of two sums. */
function sumOfScratch(): number {
  let sums = 0;
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? 0;
    sums = (sums + (word & 0x00ff_00ff) + ((word >>> 8) & 0x00ff_00ff)) | 0;
  }
  return (sums & 0xffff) + (sums >>> 16);
}

type Format = 'v7' | 'ustar' | 'star' | 'gnu';

function formatOf(block: Buffer): Format {
  if (hasText(block, 257, 'ustar  \0')) return 'gnu';
  if (!hasText(block, 257, 'ustar\0')) return 'v7';
  return hasText(block, 508, 'tar\0') ? 'star' : 'ustar';
}

function hasText(block: Buffer, at: number, text: string): boolean {
  for (let index = 0; index < text.length; index++)
    if (block[at + index] !== text.charCodeAt(index)) return false;
  return true;
}

/**
 * Returns the prefix of the name. GNU's format has two times in this field. Go before 1.8 wrote a prefix there all the
 * same, which is recognized because it is text.
 */
function prefixOf(block: Buffer, format: Format): string {
  if (format === 'v7') return '';
  if (format !== 'gnu') return parseText(block, 345, format === 'star' ? 131 : 155);
  if (block[345] === 0 && block[357] === 0) return '';
  const times = [345, 357].filter(at => block[at] !== 0).map(at => parseNumber(block, at, 12));
  const prefix = parseText(block, 345, 155);
  return times.some(Number.isNaN) && /^[\x01-\x7f]*$/.test(prefix) ? prefix : '';
}

function parseText(block: Buffer, at: number, length: number): string {
  let end = at;
  let isAscii = true;
  for (let byte = block[end]; end < at + length && byte !== 0 && byte !== undefined; byte = block[++end])
    if (byte >= 0x80) isAscii = false;
  if (end === at) return '';
  return isAscii ? block.toString('latin1', at, end) : decodeName(block.subarray(at, end));
}

/**
 * Parses octal digits among spaces and NULs, or, if the first bit is set, two's complement (GNU tar manual,
 * "Extensions").
 */
export function parseNumber(block: Buffer, at: number, length: number): number {
  const first = block[at] ?? 0;
  if (first >= 0x80) {
    const inverse = first >= 0xc0 ? 0xff : 0;
    let value = (first ^ inverse) & 0x7f;
    for (let next = at + 1; next < at + length; next++) value = value * 256 + ((block[next] ?? 0) ^ inverse);
    return inverse === 0 ? value : -value - 1;
  }
  let [from, to] = [at, at + length];
  while (from < to && isBlank(block[from])) from++;
  while (from < to && isBlank(block[to - 1])) to--;
  let value = 0;
  for (; from < to && block[from] !== 0; from++) {
    const digit = (block[from] ?? 0) - 0x30;
    if (digit < 0 || digit > 7) return Number.NaN;
    value = value * 8 + digit;
  }
  return value;
}

function isBlank(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0;
}

/**
 * Parses records `<length> <key>=<value>\n`; the length counts the whole record. The pairs of a sparse file's map in
 * version 0.0, which repeat their keys, become the one record of version 0.1.
 *
 * @throws Error with what is malformed.
 */
export function parseRecords(body: Buffer): PaxRecords {
  const records = new Map<string, Buffer>();
  const map: string[] = [];
  for (let at = 0; at < body.length; ) {
    const space = body.indexOf(0x20, at);
    const digits = space > at && space - at < 10 ? body.toString('latin1', at, space) : '';
    const next = at + Number(digits);
    const equals = body.indexOf(0x3d, space);
    const fits = next <= body.length && equals > space + 1 && equals < next - 1 && body[next - 1] === 0x0a;
    if (!/^[1-9]\d*$/.test(digits) || !fits) throw new Error('a PAX header of no meaning');
    const key = decodeName(body.subarray(space + 1, equals));
    const value = body.subarray(equals + 1, next - 1);
    if (key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes') {
      if ((map.length % 2 === 0) !== (key === 'GNU.sparse.offset'))
        throw new Error('a map of a sparse file of no meaning');
      map.push(value.toString('latin1'));
    } else records.set(key, value);
    at = next;
  }
  if (map.length > 0) records.set('GNU.sparse.map', Buffer.from(map.join(',')));
  return records;
}
