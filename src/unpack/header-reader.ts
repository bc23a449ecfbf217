import { maxNameBytes, sizeOfNames } from '../tree/toc.ts';
import { decodeName, quoteName } from '../util/name.ts';
import { type EntryHead, type FileHead, type Headers, pathOf, sizeOf, toEntryHead } from './entry.ts';
import { blockSize, isZero, paddingOf, parseHeader, parseRecords } from './headers.ts';
import type { ByteBound } from './limits.ts';
import type { Lookahead } from './lookahead.ts';
import { isPaxSparse, readGnuSparse, readPaxSparse, type SparseMap } from './sparse.ts';

export type HeadLimits = {
  readonly maxEntries: number;
  /** No larger body is started. */
  readonly bound: ByteBound;
};

/** The next bytes of the lookahead are `data` bytes, and padding; `map` has their positions in a sparse file. */
export type BodyHead = {
  readonly entry: FileHead;
  readonly data: number;
  readonly map: SparseMap | undefined;
};
export type TarHead = BodyHead | { readonly entry: Exclude<EntryHead, FileHead> };

/** The maximum bytes of PAX headers and long names of one entry; real ones have some hundred. */
const maxHeaders = 8 * 1024 * 1024;
const maxHeader = 4 * 1024 * 1024;

/**
 * Reads a tar entry by entry; undefined at its end.
 *
 * @throws MalformedEntry with the reason why an entry is invalid; Error with how the tar is damaged.
 */
export function createHeadReader(
  lookahead: Lookahead,
  limits: HeadLimits,
  onDropped: (name: string) => void,
): () => Generator<void, TarHead | undefined> {
  let entries = 0;
  let names = 0;
  /** Holes cost time although they have no bytes in the tar. */
  let holes = 0;

  const count = (head: TarHead): void => {
    if (++entries > limits.maxEntries) {
      throw new Error(`more than ${limits.maxEntries} entries in one layer (--max-layer-entries)`);
    }
    names += sizeOfNames(head.entry);
    if (names > maxNameBytes) throw new Error('more than 128 MiB of names and attributes in one layer');
    if (!('data' in head)) return;
    const { size } = head.entry;
    if (head.map !== undefined) holes += size - head.data;
    if (size > limits.bound.bytes) throw new Error(`with its ${size} bytes the layer ${limits.bound.excess}`);
    if (holes > limits.bound.sparseBytes)
      throw new Error(`with the holes of its sparse files the layer ${limits.bound.sparseExcess}`);
  };

  function* toSparseHead(headers: Headers, entry: FileHead, block: Buffer): Generator<void, BodyHead> {
    const { header, pax } = headers;
    if (header.typeflag === 'S' && !header.isGnu)
      throw new Error('a sparse file of star, which few can read');
    const { size, map, data } =
      header.typeflag === 'S'
        ? yield* readGnuSparse(lookahead, block, sizeOf(headers))
        : yield* readPaxSparse(lookahead, pax, sizeOf(headers));
    return { entry: { ...entry, size }, data, map };
  }

  return function* next() {
    let [pax, longName, longLink]: [Headers['pax'], string?, string?] = [new Map()];
    let isPending = false;
    for (let length = 0; ; ) {
      const block = lookahead.takeNow(blockSize) ?? (yield* lookahead.take(blockSize));
      if (block.length === 0 && !isPending) return undefined;
      if (block.length === 0) throw new Error('it ends within the headers of an entry');
      if (block.length < blockSize) throw new Error(endsEarly);
      if (isZero(block)) {
        const second = yield* lookahead.take(blockSize);
        if (second.length === 0 || (second.length === blockSize && isZero(second))) return undefined;
        throw new Error('a block of zeros is in it');
      }
      const header = parseHeader(block);
      if (!'xgLK'.includes(header.typeflag)) {
        const headers = { header, pax, longName, longLink };
        try {
          const entry = toEntryHead(headers, onDropped);
          let head: TarHead;
          if (entry.kind !== 'file') head = { entry };
          else if (isSparse(headers)) head = yield* toSparseHead(headers, entry, block);
          else head = { entry, data: entry.size, map: undefined };
          count(head);
          return head;
        } catch (error) {
          throw new MalformedEntry(pathOf(headers), error);
        }
      }
      length += blockSize + header.size;
      const body = yield* readExtended(lookahead, header.size, length);
      // A global header may have a comment, as git writes it. One that names or measures files is meaningless in an
      // archive of files.
      if (header.typeflag === 'x') pax = parseRecords(body);
      else if (header.typeflag === 'g') parseRecords(body);
      else if (header.typeflag === 'L') longName = untilNul(body);
      else longLink = untilNul(body);
      isPending = header.typeflag !== 'g';
    }
  };
}

function isSparse({ header, pax }: Headers): boolean {
  return header.typeflag === 'S' || (pax.size > 0 && isPaxSparse(pax));
}

const endsEarly = 'it ends too early';

/** An invalid entry, by its name. */
export class MalformedEntry extends Error {
  constructor(path: string, cause: unknown) {
    super(`entry ${quoteName(path)}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

function* readExtended(lookahead: Lookahead, size: number, all: number): Generator<void, Buffer> {
  if (!(size >= 0)) throw new Error('a header has a size that is none');
  if (size > maxHeader) throw new Error('a PAX header or long name has more than 4 MiB');
  if (all > maxHeaders) throw new Error('more than 8 MiB of headers before one entry');
  const body = yield* lookahead.take(size);
  if (body.length < size) throw new Error(endsEarly);
  yield* lookahead.skip(paddingOf(size));
  return body;
}

/** An empty name counts as none. */
function untilNul(body: Buffer): string | undefined {
  const end = body.indexOf(0);
  return decodeName(end === -1 ? body : body.subarray(0, end)) || undefined;
}
