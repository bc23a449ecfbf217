import { closeSync, createReadStream, fstatSync, openSync, type ReadStream, readSync } from 'node:fs';
import { pipeline, type Readable } from 'node:stream';
import { constants, createGunzip, createZstdDecompress, type Gunzip, type ZstdDecompress } from 'node:zlib';
import { ArtifactError, errnoOf } from '../util/error.ts';

/** Bytes read, and bytes inflated, at a time. Less costs time in going between threads, more costs memory. */
const chunkSize = 128 * 1024;

/**
 * A frame says how much memory it wants to be uncompressed with. 128 MiB is what `zstd --long` and `--ultra -22` ask
 * for; the levels that other tools have stay below 32 MiB.
 */
const zstdParameters = { [constants.ZSTD_d_windowLogMax]: 27 };

/** What a file is compressed with, by its first bytes: media types are not to be trusted. `none` may be a tar. */
export type Compression = 'gzip' | 'zstd' | 'xz' | 'bzip2' | 'lz4' | 'none';

const magics: readonly (readonly [Compression, Buffer])[] = [
  ['gzip', Buffer.of(0x1f, 0x8b)],
  ['zstd', Buffer.of(0x28, 0xb5, 0x2f, 0xfd)],
  ['xz', Buffer.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0)],
  ['bzip2', Buffer.from('BZh')],
  ['lz4', Buffer.of(0x04, 0x22, 0x4d, 0x18)],
];

/** A frame of zstd without content; parallel compressors begin with one (RFC 8878, 3.1.2). */
const skippable = /^[\x50-\x5f]\x2a\x4d\x18/;

export type CompressedFile = { readonly compression: Compression; readonly size: number };

/** Files are opened by this thread itself: a thread that is ended while another opens one for it leaves it open. */
export function inspectFile(path: string): CompressedFile {
  const { start, size } = readStart(path);
  if (skippable.test(start.toString('latin1'))) return { compression: 'zstd', size };
  const known = magics.find(([, magic]) => start.subarray(0, magic.length).equals(magic));
  return { compression: known?.[0] ?? 'none', size };
}

function readStart(path: string): { readonly start: Buffer; readonly size: number } {
  const fd = openSync(path, 'r');
  try {
    const start = Buffer.alloc(6);
    return { start: start.subarray(0, readSync(fd, start, 0, 6, 0)), size: fstatSync(fd).size };
  } finally {
    closeSync(fd);
  }
}

/**
 * The uncompressed bytes of a file. Every gzip member and zstd frame counts; zeros after the last gzip member are
 * padding, anything else is damage.
 *
 * @throws ArtifactError `unmountable` for damage, and for a compression that node:zlib does not know.
 */
export async function* readUncompressed(
  path: string,
  { compression, size }: CompressedFile,
  label: string,
): AsyncGenerator<Buffer> {
  const inflate = compression === 'none' ? undefined : openInflate(compression, label);
  const file = createReadStream(path, { fd: openSync(path, 'r'), highWaterMark: chunkSize });
  const closed = whenClosed(file);
  try {
    yield* inflate === undefined
      ? (file as AsyncIterable<Buffer>)
      : inflateAll(file, inflate, compression, label);
  } finally {
    file.destroy();
    await closed;
  }
  if (compression === 'zstd' && inflate !== undefined && inflate.bytesWritten < size) {
    throw new ArtifactError(
      'unmountable',
      `${label} is damaged zstd: no frame at byte ${inflate.bytesWritten}`,
    );
  }
}

async function* inflateAll(
  file: ReadStream,
  inflate: Gunzip | ZstdDecompress,
  compression: Compression,
  label: string,
): AsyncGenerator<Buffer> {
  // Errors of both reach the iteration over the last.
  pipeline(file, inflate, () => {});
  const closed = whenClosed(inflate);
  try {
    yield* inflate as AsyncIterable<Buffer>;
  } catch (error) {
    if (!isDamage(error)) throw error;
    if (errnoOf(error) === 'ZSTD_error_frameParameter_windowTooLarge') {
      const why = 'asks for more than 128 MiB of memory to be uncompressed with';
      throw new ArtifactError('unmountable', `${label} ${why}; compress it with --long=27 at most`, error);
    }
    throw new ArtifactError('unmountable', `${label} is damaged ${compression}: ${error.message}`, error);
  } finally {
    await closed;
  }
}

/** Its end, however it comes. */
function whenClosed(stream: Readable): Promise<void> {
  return new Promise(resolve => void stream.once('close', resolve));
}

function openInflate(compression: Exclude<Compression, 'none'>, label: string): Gunzip | ZstdDecompress {
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
