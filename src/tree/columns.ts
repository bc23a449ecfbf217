/**
 * Rows of unsigned 32-bit numbers, and bytes, that grow by pages: growth copies nothing, the garbage collector has no
 * objects to visit, and the pages are released together.
 */

/** The numbers of a row, 0 until they are set. */
export type Columns = {
  get(row: number, column: number): number;
  set(row: number, column: number, value: number): void;
  /** Returns the numbers of a page with a row, from `start` on: for many numbers of one row. */
  page(row: number): Uint32Array;
  start(row: number): number;
};

const pageBits = 14;
const pageRows = 2 ** pageBits;
/** The bits of a row that are its position in its page. */
const inPage = pageRows - 1;

export function createColumns(width: number): Columns {
  const pages: Uint32Array[] = [];
  const pageOf = (row: number): Uint32Array =>
    (pages[row >>> pageBits] ??= new Uint32Array(pageRows * width));
  return {
    get(row, column) {
      const page = pages[row >>> pageBits];
      return page === undefined ? 0 : (page[(row & inPage) * width + column] as number);
    },
    set(row, column, value) {
      pageOf(row)[(row & inPage) * width + column] = value;
    },
    page: pageOf,
    start: row => (row & inPage) * width,
  };
}

/** Bytes by their address. Address 0 is never used. */
export type Arena = {
  /** Allocates so many bytes, at most `maxRecord`, in one piece. */
  take(length: number): number;
  /** Returns the page of an address; the address is at `offsetIn(address)` in it. */
  page(address: number): Buffer;
};

const pageBytes = 2 ** 18;
/** The maximum bytes of one allocation. */
export const maxRecord = 8192;

export function createArena(): Arena {
  const pages: Buffer[] = [];
  let end = 1;
  return {
    take(length) {
      if (offsetIn(end) + length > pageBytes) end += pageBytes - offsetIn(end);
      const address = end;
      end += length;
      return address;
    },
    page: address => (pages[Math.floor(address / pageBytes)] ??= Buffer.alloc(pageBytes)),
  };
}

export function offsetIn(address: number): number {
  return address % pageBytes;
}
