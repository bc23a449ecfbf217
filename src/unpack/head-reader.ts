import { sizeOfNames } from '../oci/toc.ts';
import { maxNameBytes } from '../oci/tree-budget.ts';
import { toEntryHead, type EntryHead, type TarHeader } from './entry.ts';
import { blockSize, isZero, paddedSize } from './headers.ts';
import type { ByteBound } from './limits.ts';
import { createTape } from './tape.ts';

export type HeadLimits = {
  readonly maxEntries: number;
  /** No larger body is begun. */
  readonly bound: ByteBound;
};

/** Follows a tar from entry to entry beside tar-stream, with the raw bytes of headers at hand. */
export type HeadReader = {
  /** Before the chunk goes to tar-stream. @throws Error for headers without end. */
  push(chunk: Buffer): void;
  /** What tar-stream found; undefined for an entry after the end. @throws Error saying why there can be no such entry. */
  read(header: TarHeader, headerAt: number): EntryHead | undefined;
  /** Whether two blocks of zeros are next, which end a tar; what follows them is none of it. */
  isEnd(): boolean;
  /** Whether bytes are left that belong to no entry. */
  hasRest(): boolean;
};

/** PAX headers and long names of one entry; real ones have some hundred bytes. */
const maxHeaders = 8 * 1024 * 1024;

export function createHeadReader(limits: HeadLimits, onDropped: (name: string) => void): HeadReader {
  /** Its place is where the headers of the next entry begin. */
  const tape = createTape();
  let entries = 0;
  let names = 0;

  const isEnd = (): boolean => {
    const blocks = tape.peek(2 * blockSize);
    return blocks.length === 2 * blockSize && isZero(blocks);
  };

  const count = (head: EntryHead): void => {
    if (++entries > limits.maxEntries) {
      throw new Error(`more than ${limits.maxEntries} entries in one layer (--max-layer-entries)`);
    }
    names += sizeOfNames(head);
    if (names > maxNameBytes) throw new Error('more than 128 MiB of names and attributes in one layer');
    if (head.kind === 'file' && head.size > limits.bound.bytes) {
      throw new Error(`with its ${head.size} bytes the layer ${limits.bound.excess}`);
    }
  };

  return {
    push(chunk) {
      if (tape.end - tape.at > maxHeaders) throw new Error('more than 8 MiB of headers before one entry');
      tape.push(chunk);
    },
    read(header, headerAt) {
      const length = headerAt + blockSize - tape.at;
      const raw = length > blockSize || header.type === null ? tape.peek(length) : undefined;
      if (raw !== undefined && isZero(raw.subarray(0, blockSize))) {
        if (isEnd()) return undefined;
        throw new Error('a block of zeros before it');
      }
      const head = toEntryHead(header, raw, onDropped);
      count(head);
      tape.advance(headerAt + blockSize + (head.kind === 'file' ? paddedSize(head.size) : 0));
      return head;
    },
    isEnd,
    hasRest: () => !isZero(tape.peek(tape.end - tape.at)),
  };
}
