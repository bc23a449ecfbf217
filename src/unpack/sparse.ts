import { blockSize, type PaxRecords, parseNumber } from './headers.ts';
import type { Lookahead } from './lookahead.ts';

/** The data ranges of a sparse file, in order; the rest of it is holes (GNU tar manual, "Storing Sparse Files"). */
export type SparseMap = readonly { readonly offset: number; readonly length: number }[];

/** The size of the file with its holes, its map, and the number of data bytes after the header. */
export type Sparse = { readonly size: number; readonly map: SparseMap; readonly data: number };

/** The maximum blocks of a map. */
const maxBlocks = 8192;

/** Reads the map of an entry of the old GNU type: in its header, and in blocks after it. @param data bytes of data. */
export function* readGnuSparse(lookahead: Lookahead, header: Buffer, data: number): Generator<void, Sparse> {
  const numbers = pairsOf(header, 386, 4);
  let more = header[482] !== 0;
  for (let count = 0; more; count++) {
    if (count === maxBlocks) throw new Error('a sparse file with too long a map');
    const block = yield* lookahead.take(blockSize);
    if (block.length < blockSize) throw new Error('a sparse file without all of its map');
    numbers.push(...pairsOf(block, 0, 21));
    more = block[504] !== 0;
  }
  return toSparse(numbers, parseNumber(header, 483, 12), data);
}

function pairsOf(block: Buffer, from: number, count: number): number[] {
  const numbers: number[] = [];
  for (let at = from; at < from + 24 * count && block[at] !== 0; at += 24)
    numbers.push(parseNumber(block, at, 12), parseNumber(block, at + 12, 12));
  return numbers;
}

/**
 * Whether PAX records describe a sparse file of any version that has them: 0.0 and 0.1 have their map in the records,
 * 1.0 before the data.
 */
export function isPaxSparse(pax: PaxRecords): boolean {
  return versionOf(pax) !== undefined;
}

function versionOf(pax: PaxRecords): 0 | 1 | undefined {
  const version = `${textOf(pax, 'major')}.${textOf(pax, 'minor')}`;
  if (version === '1.0') return 1;
  if (version === '0.0' || version === '0.1') return 0;
  return version === '.' && textOf(pax, 'map') !== '' ? 0 : undefined;
}

/** @param data the bytes that follow the header, including a map. */
export function* readPaxSparse(lookahead: Lookahead, pax: PaxRecords, data: number): Generator<void, Sparse> {
  const real = textOf(pax, 'size') || textOf(pax, 'realsize');
  const size = real === '' ? data : parseDecimal(real);
  if (versionOf(pax) === 1) {
    const { numbers, blocks } = yield* readLines(lookahead);
    return toSparse(numbers, size, data - blocks * blockSize);
  }
  const map = textOf(pax, 'map');
  const numbers = map === '' ? [] : map.split(',').map(parseDecimal);
  if (numbers.length !== 2 * parseDecimal(textOf(pax, 'numblocks')))
    throw new Error('a sparse file whose map is not as long as it says');
  return toSparse(numbers, size, data);
}

/** Reads lines of decimals, the number of pairs first, to the end of a block. */
function* readLines(lookahead: Lookahead): Generator<void, { numbers: number[]; blocks: number }> {
  let text = '';
  let blocks = 0;
  for (let lines = 0, wanted = 1; lines < wanted; ) {
    const block = yield* lookahead.take(blockSize);
    if (block.length < blockSize || ++blocks > maxBlocks)
      throw new Error('a sparse file without the end of its map');
    text += block.toString('latin1');
    for (const byte of block) if (byte === 0x0a) lines++;
    if (wanted === 1 && lines > 0) wanted += 2 * parseDecimal(text.slice(0, text.indexOf('\n')));
    if (Number.isNaN(wanted)) throw new Error('a sparse file whose map has no length');
  }
  const [count = '', ...rest] = text.split('\n');
  return { numbers: rest.slice(0, 2 * parseDecimal(count)).map(parseDecimal), blocks };
}

/** @throws Error if the ranges are not in order within the file, or do not cover all of the data. */
function toSparse(numbers: readonly number[], size: number, data: number): Sparse {
  const map = [];
  let end = 0;
  let sum = 0;
  for (let at = 0; at < numbers.length; at += 2) {
    const [offset = Number.NaN, length = Number.NaN] = [numbers[at], numbers[at + 1]];
    const fits = isCount(offset) && isCount(length) && offset >= end && offset + length <= size;
    if (!fits) throw new Error('a sparse file whose map does not fit it');
    end = offset + length;
    sum += length;
    map.push({ offset, length });
  }
  if (!isCount(size) || sum !== data) throw new Error('a sparse file whose map does not fit its data');
  return { size, map, data };
}

function textOf(pax: PaxRecords, key: string): string {
  return pax.get(`GNU.sparse.${key}`)?.toString('latin1') ?? '';
}

function parseDecimal(text: string): number {
  return /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
