import { createHash } from 'node:crypto';
import { type Digest, isDigest } from '../oci/digest.ts';
import { createByteCollector } from '../util/byte-collector.ts';
import type { DataFile, TocEntry, TocSummary } from './toc.ts';
import { formatRow, parseRow } from './toc-row.ts';

/**
 * The table of contents of an unpacked layer as a file. It is written while the layer is unpacked and read in chunks,
 * so a million entries are never one value. It has lines of JSON: an array for each entry in the tar's order, then a
 * string for each note, then an object with the totals. The last line is the sha256 of all before it.
 */

/** The data for `list`, at the end of the file and of limited length. */
export type TocTotals = Omit<TocSummary, 'notes'>;

/** The version of the format, in the totals. A layer with any other version is unpacked again. */
const version = 3;
/**
 * The most bytes of a line. One of an entry has at most six for each character of its path and its target, and for each
 * byte of its attributes.
 */
const maxLine = 4 * 1024 * 1024;
/** The approximate bytes of one write. */
const step = 64 * 1024;
const lineFeed = 0x0a;
/** The maximum bytes of totals and checksum: two digests, four numbers, their names, and two files. */
export const tailLength = 1024;
/** A sha256 in hex, and the end of its line. */
export const checksumLength = 65;

export type TocEncoder = {
  add(entry: TocEntry): void;
  /** Writes the rest and the totals. */
  end(layer: Pick<TocSummary, 'digest' | 'diffId' | 'notes' | 'files'>): TocSummary;
};

/** `write` receives the file's bytes in order; its errors are thrown by the call that caused the write. */
export function createTocEncoder(write: (bytes: Buffer) => void): TocEncoder {
  const hash = createHash('sha256');
  let pending = '';
  let bytes = 0;
  let bodies = 0;
  const flush = (): void => {
    const text = Buffer.from(pending);
    pending = '';
    hash.update(text);
    write(text);
  };
  return {
    add(entry) {
      if (entry.kind === 'file') {
        bytes += entry.size;
        bodies++;
      }
      pending += `${formatRow(entry)}\n`;
      if (pending.length >= step) flush();
    },
    end({ digest, diffId, notes, files }) {
      const totals: TocTotals = { digest, diffId, bytes, bodies, ...(files !== undefined && { files }) };
      for (const note of notes) pending += `${JSON.stringify(note)}\n`;
      pending += `${JSON.stringify({ version, ...totals })}\n`;
      flush();
      write(Buffer.from(`${hash.digest('hex')}\n`));
      return { ...totals, notes };
    },
  };
}

export type TocDecoder = {
  /**
   * Parses the next bytes of the file, up to its checksum; returns the entries that are complete.
   *
   * @throws if no encoder wrote them.
   */
  push(bytes: Buffer): readonly TocEntry[];
  /** Verifies the checksum's line. @returns undefined unless the file is complete and right. */
  end(checksum: string): TocSummary | undefined;
};

export function createTocDecoder(): TocDecoder {
  const hash = createHash('sha256');
  const notes: string[] = [];
  /** The beginning of a line. */
  const carry = createByteCollector(maxLine);
  let totals: TocTotals | undefined;
  const keep = (bytes: Buffer): void => {
    if (!carry.add(bytes)) throw new Error(`a line has more than ${maxLine} bytes`);
  };
  return {
    push(bytes) {
      hash.update(bytes);
      const whole = bytes.lastIndexOf(lineFeed) + 1;
      const entries: TocEntry[] = [];
      let from = 0;
      let begun = '';
      if (whole > 0 && carry.bytes().length > 0) {
        from = bytes.indexOf(lineFeed);
        keep(bytes.subarray(0, from));
        begun = carry.bytes().toString();
        carry.clear();
      }
      keep(bytes.subarray(whole));
      if (whole === 0) return entries;
      for (const line of `${begun}${bytes.toString('utf8', from, whole - 1)}`.split('\n')) {
        if (line.startsWith('[')) entries.push(parseRow(line));
        else if (line.startsWith('"')) notes.push(JSON.parse(line) as string);
        else totals = parseTotals(line);
      }
      return entries;
    },
    end(checksum) {
      const isWhole = checksum === `${hash.digest('hex')}\n` && carry.bytes().length === 0;
      return isWhole && totals !== undefined ? { ...totals, notes } : undefined;
    },
  };
}

/**
 * Parses the totals in the last bytes of a file. No checksum is verified.
 *
 * @returns undefined for a file of another kind or version.
 */
export function parseTail(tail: Buffer): TocTotals | undefined {
  try {
    return parseTotals(tail.toString().split('\n').at(-3) ?? '');
  } catch {
    return undefined;
  }
}

/** Whether the last bytes of a file are those of a table of another version. No checksum is verified. */
export function isOfOtherVersion(tail: Buffer): boolean {
  try {
    const found = (JSON.parse(tail.toString().split('\n').at(-3) ?? '') as { version?: unknown }).version;
    return isCount(found) && found !== version;
  } catch {
    return false;
  }
}

function parseTotals(line: string): TocTotals | undefined {
  const fields = JSON.parse(line) as Readonly<Record<keyof TocTotals | 'version', unknown>>;
  const { digest, diffId, bytes, bodies, files } = fields;
  if (fields.version !== version || !isCount(bytes) || !isCount(bodies)) return undefined;
  if (!isDigestText(digest) || !isDigestText(diffId)) return undefined;
  if (files === undefined) return { digest, diffId, bytes, bodies };
  return isDataFiles(files) ? { digest, diffId, bytes, bodies, files } : undefined;
}

function isDataFiles(value: unknown): value is readonly DataFile[] {
  return Array.isArray(value) && value.length > 0 && value.every(isDataFile);
}

function isDataFile(value: unknown): value is DataFile {
  if (typeof value !== 'object' || value === null) return false;
  const { name, size, sha256 } = value as Readonly<Record<keyof DataFile, unknown>>;
  return (name === 'tar' || name === 'sparse') && isCount(size) && /^[0-9a-f]{64}$/.test(String(sha256));
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

function isDigestText(value: unknown): value is Digest {
  return typeof value === 'string' && isDigest(value);
}
