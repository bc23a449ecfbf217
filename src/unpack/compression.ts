import { closeSync, fstatSync, readSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { constants, createGunzip, createZstdDecompress, type Gunzip, type ZstdDecompress } from 'node:zlib';
import { ArtifactError, errnoOf } from '../util/error.ts';
import { openRegular } from '../util/regular-file.ts';

/** Bytes read, and bytes inflated, at a time. Less costs time between threads, more costs memory. */
const chunkSize = 128 * 1024;

/**
 * The maximum window of a frame, in bytes. 128 MiB is what `zstd --long` and `--ultra -22` require; the levels of other
 * tools stay below 32 MiB.
 */
const zstdParameters = { [constants.ZSTD_d_windowLogMax]: 27 };

/** Detects the compression of a file by its first bytes: media types are not reliable. `none` may be a tar. */
export type Compression = 'gzip' | 'zstd' | 'xz' | 'bzip2' | 'lz4' | 'none';

const magics: readonly (readonly [Compression, Buffer])[] = [
  ['gzip', Buffer.of(0x1f, 0x8b)],
  ['zstd', Buffer.of(0x28, 0xb5, 0x2f, 0xfd)],
  ['xz', Buffer.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0)],
  ['bzip2', Buffer.from('BZh')],
  ['lz4', Buffer.of(0x04, 0x22, 0x4d, 0x18)],
];

/** A zstd frame without content; parallel compressors begin with one (RFC 8878, 3.1.2). */
const skippable = /^[\x50-\x5f]\x2a\x4d\x18/;

/** Waits for bytes of a file that arrives. Returns how many are there, more than `past`. */
export type AwaitBytes = (past: number) => Promise<number>;

/** `size`: bytes of the whole file. `more`: it still arrives. */
export type CompressedFile = {
  readonly compression: Compression;
  readonly size: number;
  readonly more?: AwaitBytes;
};

export function inspectFile(path: string): CompressedFile {
  const { start, size } = readStart(path);
  return { compression: detectCompression(start), size };
}

/** The same for a file of `size` bytes that arrives. @throws if it has fewer bytes than `more` said. */
export async function inspectArriving(path: string, size: number, more: AwaitBytes): Promise<CompressedFile> {
  const least = Math.min(size, magicBytes);
  await more(least - 1);
  const { start } = readStart(path);
  if (start.length < least) throw new Error(`it has ${start.length} bytes, and not ${least}`);
  return { compression: detectCompression(start), size, more };
}

/** The number of first bytes that identify the compression. */
export const magicBytes = 6;

export function detectCompression(start: Buffer): Compression {
  if (skippable.test(start.toString('latin1'))) return 'zstd';
  const known = magics.find(([, magic]) => start.subarray(0, magic.length).equals(magic));
  return known?.[0] ?? 'none';
}

function readStart(path: string): { readonly start: Buffer; readonly size: number } {
  const fd = openRegular(path);
  try {
    const start = Buffer.alloc(magicBytes);
    return { start: start.subarray(0, readSync(fd, start, 0, magicBytes, 0)), size: fstatSync(fd).size };
  } finally {
    closeSync(fd);
  }
}

/**
 * Yields the uncompressed bytes of a file. Every gzip member and zstd frame counts; zeros after the last gzip member
 * are padding, anything else is damage.
 *
 * @throws ArtifactError `unmountable` for damage, and for a compression that node:zlib does not support.
 */
export async function* readUncompressed(
  path: string,
  { compression, size, more }: CompressedFile,
  label: string,
): AsyncGenerator<Buffer> {
  const chunks = more === undefined ? readChunks(path) : readArriving(path, size, more);
  if (compression === 'none') return yield* chunks;
  const inflate = openInflate(compression, label);
  // Its errors reach the iteration over the other stream.
  const fed = pipeline(chunks, inflate).catch(() => {});
  try {
    yield* inflate as AsyncIterable<Buffer>;
  } catch (error) {
    if (!isDamage(error)) throw error;
    if (errnoOf(error) === 'ZSTD_error_frameParameter_windowTooLarge') {
      const why = 'asks for more than 128 MiB of memory to be uncompressed with';
      throw new ArtifactError('unmountable', `${label} ${why}; compress it with --long=27 at most`, error);
    }
    throw new ArtifactError(
      'unmountable',
      `${label} is damaged ${compression}: ${error.message}; push the artifact again`,
      error,
    );
  } finally {
    await fed;
  }
  if (compression === 'zstd' && inflate.bytesWritten < size) {
    throw new ArtifactError(
      'unmountable',
      `${label} is damaged zstd: no frame at byte ${inflate.bytesWritten}; push the artifact again`,
    );
  }
}

/**
 * Synchronous, like all file access in threads: a thread that ends while the pool opens or closes a file for it leaks
 * the descriptor.
 */
function* readChunks(path: string): Generator<Buffer> {
  const fd = openRegular(path);
  try {
    for (;;) {
      const chunk = Buffer.allocUnsafe(chunkSize);
      const length = readSync(fd, chunk);
      if (length === 0) return;
      yield chunk.subarray(0, length);
    }
  } finally {
    closeSync(fd);
  }
}

/** The same for a file that arrives. */
async function* readArriving(path: string, size: number, more: AwaitBytes): AsyncGenerator<Buffer> {
  const fd = openRegular(path);
  try {
    for (let at = 0, present = 0; at < size; ) {
      if (at >= present) present = await more(at);
      const chunk = Buffer.allocUnsafe(Math.min(chunkSize, present - at));
      const length = readSync(fd, chunk, 0, chunk.length, at);
      if (length === 0) throw new Error(`it ends after ${at} of ${present} bytes`);
      yield chunk.subarray(0, length);
      at += length;
    }
  } finally {
    closeSync(fd);
  }
}

export function openInflate(
  compression: Exclude<Compression, 'none'>,
  label: string,
): Gunzip | ZstdDecompress {
  if (compression === 'gzip') return createGunzip({ chunkSize });
  if (compression === 'zstd') return createZstdDecompress({ chunkSize, params: zstdParameters });
  throw new ArtifactError(
    'unmountable',
    `${label} is compressed with ${compression}; only gzip, zstd and plain tars are unpacked`,
  );
}

function isDamage(error: unknown): error is Error {
  return /^(?:Z_|ZSTD_)/.test(errnoOf(error) ?? '');
}
