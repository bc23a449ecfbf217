import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import type { Digest } from '../oci/digest.ts';
import type { Toc, TocEntry } from '../oci/toc.ts';
import { ArtifactError } from '../util/error.ts';
import { type Fields, isCount, isDigestText, parseFields } from './json-record.ts';
import { formatRow, parseRow } from './toc-row.ts';

/**
 * The table of contents of an unpacked layer: lines of JSON, written and read in pieces, so that a million entries are
 * never one string. First a header, then the notes, then one line for each entry in the tar's order; the last line is
 * the sha256 of all before it.
 */
export type TocHeader = {
  readonly digest: Digest;
  readonly diffId: Digest;
  /** Of all bodies. */
  readonly bytes: number;
  readonly bodies: number;
};

/** The toc's version, in its header. Any other is not read: the layer is unpacked again. */
const version = 1;
/** Bytes hashed, parsed or written in one step; about 3 ms of work. */
const step = 256 * 1024;
/** Hex of a sha256, and the end of its line. */
const checksumLength = 65;

export async function writeToc(path: string, toc: Toc): Promise<void> {
  await using file = await open(path, 'wx', 0o600);
  const hash = createHash('sha256');
  let pending = '';
  const flush = async (): Promise<void> => {
    const bytes = Buffer.from(pending);
    hash.update(bytes);
    await file.writeFile(bytes);
    pending = '';
  };

  const { digest, diffId, bytes, notes, entries } = toc;
  const bodies = entries.reduce((sum, entry) => sum + (entry.kind === 'file' ? 1 : 0), 0);
  pending = `${JSON.stringify({ version, digest, diffId, bytes, bodies })}\n${JSON.stringify(notes)}\n`;
  for (const entry of entries) {
    pending += `${formatRow(entry)}\n`;
    if (pending.length >= step) await flush();
  }
  await flush();
  await file.writeFile(`${hash.digest('hex')}\n`);
}

/** @throws `corrupt` for anything but a whole table whose checksum is right; ENOENT as it is. */
export async function readToc(path: string): Promise<Toc> {
  await using file = await open(path);
  const hash = createHash('sha256');
  const end = (await file.stat()).size - checksumLength;
  if (end < 0) throw damaged(path);
  let header: TocHeader | undefined;
  let notes: readonly string[] | undefined;
  const entries: TocEntry[] = [];
  try {
    for await (const lines of readLines(file, end, hash)) {
      for (const line of lines) {
        if (header !== undefined && notes !== undefined) entries.push(parseRow(line));
        else if (header !== undefined) notes = JSON.parse(line) as readonly string[];
        else if ((header = parseHeader(line)) === undefined) throw damaged(path);
      }
    }
  } catch (thrown) {
    throw damaged(path, thrown);
  }
  const checksum = await file.read(Buffer.alloc(checksumLength), 0, checksumLength, end);
  const whole = checksum.buffer.toString() === `${hash.digest('hex')}\n`;
  if (!whole || header === undefined || notes === undefined) throw damaged(path);
  return { digest: header.digest, diffId: header.diffId, bytes: header.bytes, notes, entries };
}

/** The header alone, for sums: no checksum is verified. @throws `corrupt` for one that is not ours; ENOENT as it is. */
export async function readTocHeader(path: string): Promise<TocHeader & { size: number; since: number }> {
  await using file = await open(path);
  const { size, mtimeMs } = await file.stat();
  const { buffer, bytesRead } = await file.read(Buffer.alloc(1024), 0, 1024, 0);
  const line = buffer.toString('utf8', 0, bytesRead).split('\n', 1)[0] ?? '';
  const header = parseHeader(line);
  if (header === undefined) throw damaged(path);
  return { ...header, size, since: mtimeMs };
}

/** The lines of the first `end` bytes of a file, a step at a time. */
async function* readLines(file: FileHandle, end: number, hash: Hash): AsyncGenerator<string[]> {
  const buffer = Buffer.allocUnsafe(step);
  let carry: Buffer = Buffer.alloc(0);
  for (let offset = 0; offset < end; ) {
    const { bytesRead } = await file.read(buffer, 0, Math.min(step, end - offset), offset);
    if (bytesRead === 0) return;
    offset += bytesRead;
    hash.update(buffer.subarray(0, bytesRead));
    const bytes = Buffer.concat([carry, buffer.subarray(0, bytesRead)]);
    const complete = bytes.lastIndexOf(0x0a) + 1;
    carry = bytes.subarray(complete);
    if (complete > 0) yield bytes.toString('utf8', 0, complete - 1).split('\n');
  }
}

function parseHeader(line: string): TocHeader | undefined {
  const { version: actual, digest, diffId, bytes, bodies }: Fields = parseFields(line) ?? {};
  if (actual !== version || !isDigestText(digest) || !isDigestText(diffId)) return undefined;
  return isCount(bytes) && isCount(bodies) ? { digest, diffId, bytes, bodies } : undefined;
}

function damaged(path: string, cause?: unknown): ArtifactError {
  return new ArtifactError('corrupt', `${path} is damaged: its checksum does not match`, cause);
}
