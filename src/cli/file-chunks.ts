import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { type ChunkList, chunkDigestBytes, chunkSizeFor } from '../oci/chunk-list.ts';
import { toDigest } from '../oci/digest.ts';
import { ArtifactError, errnoOf } from '../util/error.ts';
import { quoteName } from '../util/name.ts';

/** Bytes that are read and hashed at a time. */
const step = 1024 * 1024;

/** Reads a file and lists its chunks. @throws ArtifactError `not-found`; `invalid`; `busy` if it changes. */
export async function listChunks(path: string, signal: AbortSignal): Promise<ChunkList> {
  await using file = await open(path).catch((thrown: unknown) => {
    if (errnoOf(thrown) !== 'ENOENT') throw thrown;
    throw new ArtifactError('not-found', `there is no file ${quoteName(path)}`, thrown);
  });
  const stats = await file.stat();
  if (!stats.isFile()) throw new ArtifactError('invalid', `${quoteName(path)} is no regular file`);
  const { size } = stats;
  const chunkSize = chunkSizeFor(size);
  const whole = createHash('sha256');
  const digests = Buffer.alloc(Math.ceil(size / chunkSize) * chunkDigestBytes);
  const buffer = Buffer.allocUnsafe(step);
  for (let from = 0; from < size; from += chunkSize) {
    const to = Math.min(size, from + chunkSize);
    const chunk = createHash('sha256');
    for (let at = from; at < to; ) {
      signal.throwIfAborted();
      const { bytesRead } = await file.read(buffer, 0, Math.min(step, to - at), at);
      if (bytesRead === 0) throw changed(path);
      const bytes = buffer.subarray(0, bytesRead);
      whole.update(bytes);
      chunk.update(bytes);
      at += bytesRead;
    }
    chunk.digest().copy(digests, (from / chunkSize) * chunkDigestBytes);
  }
  if ((await file.stat()).size !== size) throw changed(path);
  return { chunkSize, blob: { digest: toDigest('sha256', whole.digest('hex')), size }, digests };
}

function changed(path: string): ArtifactError {
  return new ArtifactError('busy', `${quoteName(path)} changed while it was read; list its chunks again`);
}
