import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { TocEntry, TocSummary } from '../../tree/toc.ts';
import {
  checksumLength,
  createTocDecoder,
  parseTail,
  tailLength,
  type TocTotals,
} from '../../tree/toc-text.ts';
import { ArtifactError } from '../../util/error.ts';

/** Takes entries of a table as they are read; it is waited for. */
export type TakeEntries = (entries: readonly TocEntry[]) => void | Promise<void>;

/** A table is a file of ours: a symlink is none. */
const own = constants.O_RDONLY | constants.O_NOFOLLOW;

/** Bytes read, hashed and parsed between turns of the event loop; some hundred entries. */
const step = 64 * 1024;

/**
 * Reads a table of contents in pieces. What `take` throws is thrown when the whole has been found right, so that
 * damage is never taken for what it looks like; until then nothing made of the entries may be used.
 * @throws `corrupt` for anything but a whole table whose checksum is right; ENOENT as it is; the signal's reason.
 */
export async function readToc(path: string, take: TakeEntries, signal: AbortSignal): Promise<TocSummary> {
  await using file = await open(path, own);
  const end = (await file.stat()).size - checksumLength;
  const decoder = createTocDecoder();
  let failure: { readonly thrown: unknown } | undefined;
  const buffer = Buffer.allocUnsafe(step);
  for (let offset = 0; offset < end; ) {
    signal.throwIfAborted();
    const { bytesRead } = await file.read(buffer, 0, Math.min(step, end - offset), offset);
    if (bytesRead === 0) break;
    offset += bytesRead;
    const entries = attempt(path, () => decoder.push(buffer.subarray(0, bytesRead)));
    try {
      if (failure === undefined) await take(entries);
    } catch (thrown) {
      failure = { thrown };
    }
  }
  const summary = decoder.end((await readAt(file, end, checksumLength)).toString());
  if (summary === undefined) throw damaged(path);
  if (failure !== undefined) throw failure.thrown;
  return summary;
}

/**
 * The totals alone, without the rest: no checksum is verified. @returns undefined for a file that is torn or of another
 * version. @throws ENOENT as it is.
 */
export async function readTocTotals(
  path: string,
): Promise<(TocTotals & { size: number; since: number }) | undefined> {
  await using file = await open(path, own);
  const { size, mtimeMs } = await file.stat();
  const totals = parseTail(await readAt(file, size - tailLength, tailLength));
  return totals && { ...totals, size, since: mtimeMs };
}

/** How many bodies the totals count, at once and without a thread of Node's; undefined where no whole table is there. */
export function countBodies(path: string): number | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(path, own);
    const tail = Buffer.alloc(tailLength);
    const bytesRead = readSync(fd, tail, 0, tailLength, Math.max(fstatSync(fd).size - tailLength, 0));
    return parseTail(tail.subarray(0, bytesRead))?.bodies;
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** Fewer bytes where the file has no more. */
async function readAt(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, Math.max(offset, 0));
  return buffer.subarray(0, bytesRead);
}

function attempt<T>(path: string, decode: () => T): T {
  try {
    return decode();
  } catch (thrown) {
    throw damaged(path, thrown);
  }
}

function damaged(path: string, cause?: unknown): ArtifactError {
  return new ArtifactError('corrupt', `${path} is damaged: its checksum does not match`, cause);
}
