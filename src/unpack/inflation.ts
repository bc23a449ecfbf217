import { pipeline } from 'node:stream';
import { ArtifactError } from '../util/error.ts';
import { detectCompression, magicBytes, openInflate } from './compression.ts';

/**
 * Yields the bytes of a stream, uncompressed if its first bytes are those of gzip or zstd.
 *
 * @throws ArtifactError `invalid` for other compressions; zlib's error for damage.
 */
export async function* inflate(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const source = bytes[Symbol.asyncIterator]();
  const start = await readStart(source);
  const whole = prepend(start, source);
  const compression = detectCompression(start);
  if (compression === 'none') {
    yield* whole;
    return;
  }
  if (compression !== 'gzip' && compression !== 'zstd') {
    throw new ArtifactError(
      'invalid',
      `the archive is compressed with ${compression}; only plain tars, gzip and zstd are read`,
    );
  }
  const inflated = openInflate(compression, 'the archive');
  // Errors of both reach the iteration over the last.
  pipeline(whole, inflated, () => {});
  yield* inflated as AsyncIterable<Uint8Array>;
}

/** Reads enough bytes to identify the compression, or more, or all that there are. */
async function readStart(source: AsyncIterator<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for (let length = 0; length < magicBytes; ) {
    const next = await source.next();
    if (next.done === true) break;
    parts.push(next.value);
    length += next.value.length;
  }
  return Buffer.concat(parts);
}

async function* prepend(start: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield start;
    for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}
