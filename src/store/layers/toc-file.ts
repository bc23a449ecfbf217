import { createHash } from 'node:crypto';
import { closeSync, fstatSync, readSync } from 'node:fs';
import { type FileHandle } from 'node:fs/promises';
import type { TocEntry, TocSummary } from '../../tree/toc.ts';
import {
  checksumLength,
  createTocDecoder,
  isOfOtherVersion,
  parseTail,
  type TocTotals,
  tailLength,
} from '../../tree/toc-text.ts';
import { ArtifactError } from '../../util/error.ts';
import { openRegular } from '../../util/regular-file.ts';
import { openHandle } from '../files/directory.ts';

/** Receives the entries of a table as they are read. The reader waits for it. */
export type TakeEntries = (entries: readonly TocEntry[]) => void | Promise<void>;

/** Bytes read, hashed and parsed between turns of the event loop: some hundred entries. */
const step = 64 * 1024;

/**
 * Reads a table of contents in chunks. What `take` throws is thrown once the whole has been verified, so that damage is
 * never taken for content. Until then, results from the entries must not be used.
 *
 * @throws `corrupt` for anything but a complete table with the right checksum; ENOENT unchanged; the signal's reason.
 */
export async function readToc(path: string, take: TakeEntries, signal: AbortSignal): Promise<TocSummary> {
  await using file = await openHandle(path);
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
 * Reads only the totals: no checksum is verified.
 *
 * @returns undefined for a file that is torn or of another version.
 * @throws ENOENT unchanged.
 */
export async function readTocTotals(
  path: string,
): Promise<(TocTotals & { size: number; since: number }) | undefined> {
  await using file = await openHandle(path);
  const { size, mtimeMs } = await file.stat();
  const totals = parseTail(await readAt(file, size - tailLength, tailLength));
  return totals && { ...totals, size, since: mtimeMs };
}

/** Whether a table is complete, and of another version: this program does not read it, and nothing is wrong with it. */
export async function isOutdated(path: string, signal: AbortSignal): Promise<boolean> {
  await using file = await openHandle(path);
  const { size } = await file.stat();
  if (!isOfOtherVersion(await readAt(file, size - tailLength, tailLength))) return false;
  const end = size - checksumLength;
  const hash = createHash('sha256');
  for (let offset = 0; offset < end; offset += step) {
    signal.throwIfAborted();
    hash.update(await readAt(file, offset, Math.min(step, end - offset)));
  }
  return (await readAt(file, end, checksumLength)).toString() === `${hash.digest('hex')}\n`;
}

/** The same, synchronously; undefined also without a table. */
export function readTotals(path: string): TocTotals | undefined {
  let fd: number | undefined;
  try {
    fd = openRegular(path);
    const tail = Buffer.alloc(tailLength);
    const bytesRead = readSync(fd, tail, 0, tailLength, Math.max(fstatSync(fd).size - tailLength, 0));
    return parseTail(tail.subarray(0, bytesRead));
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** Returns fewer bytes at the end of the file. */
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
