import { createHash } from 'node:crypto';
import { close, fstatSync, read, realpathSync } from 'node:fs';
import { promisify } from 'node:util';
import { type ChunkList, chunkDigestBytes, chunkSizeFor } from '../oci/chunk-list.ts';
import { toDigest } from '../oci/digest.ts';
import { ArtifactError, errnoOf } from '../util/error.ts';
import { quoteName } from '../util/name.ts';
import { isIrregular, openRegular } from '../util/regular-file.ts';

/** Bytes that are read and hashed at a time. */
const step = 1024 * 1024;

const [readInPool, closeInPool] = [promisify(read), promisify(close)];

/** Reads a file and lists its chunks. @throws ArtifactError `not-found`; `invalid`; `busy` if it changes. */
export async function listChunks(path: string, signal: AbortSignal): Promise<ChunkList> {
  const fd = openFile(path);
  try {
    const { size, mtimeMs } = fstatSync(fd);
    const chunkSize = chunkSizeFor(size);
    const whole = createHash('sha256');
    const digests = Buffer.alloc(Math.ceil(size / chunkSize) * chunkDigestBytes);
    const buffer = Buffer.allocUnsafe(step);
    for (let from = 0; from < size; from += chunkSize) {
      const to = Math.min(size, from + chunkSize);
      const chunk = createHash('sha256');
      for (let at = from; at < to; ) {
        signal.throwIfAborted();
        const { bytesRead } = await readInPool(fd, buffer, 0, Math.min(step, to - at), at);
        if (bytesRead === 0) throw changed(path);
        const bytes = buffer.subarray(0, bytesRead);
        whole.update(bytes);
        chunk.update(bytes);
        at += bytesRead;
      }
      chunk.digest().copy(digests, (from / chunkSize) * chunkDigestBytes);
    }
    const after = fstatSync(fd);
    if (after.size !== size || after.mtimeMs !== mtimeMs) throw changed(path);
    return { chunkSize, blob: { digest: toDigest('sha256', whole.digest('hex')), size }, digests };
  } finally {
    await closeInPool(fd);
  }
}

/** Tools that download models keep them behind symlinks, which `oras` follows, too. */
function openFile(path: string): number {
  try {
    return openRegular(realpathSync(path));
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT')
      throw new ArtifactError('not-found', `there is no file ${quoteName(path)}`, thrown);
    if (isIrregular(thrown))
      throw new ArtifactError('invalid', `${quoteName(path)} is no regular file`, thrown);
    throw thrown;
  }
}

function changed(path: string): ArtifactError {
  return new ArtifactError('busy', `${quoteName(path)} changed while it was read; list its chunks again`);
}
