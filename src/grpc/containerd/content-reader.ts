import { closeSync, read } from 'node:fs';
import { promisify } from 'node:util';
import type { SharedContent } from '../../ports/sharing.ts';
import { ArtifactError, errnoOf } from '../../util/error.ts';
import { createSemaphore } from '../../util/mutex.ts';
import { openRegular } from '../../util/regular-file.ts';
import type { ReadContentResponse } from '../wire/containerd/services/content/v1/ReadContentResponse.ts';

/** Sends the bytes of a range; a size of 0, or one beyond the end, is all that follows. */
export type ContentReader = (
  content: SharedContent,
  range: { readonly offset: number; readonly size: number },
  send: (message: ReadContentResponse) => Promise<void>,
  signal: AbortSignal,
) => Promise<void>;

/** Reads at once; others wait. A reader that takes nothing ends after five minutes. */
const mostReads = 32;
/** Bytes of a message. Some 16 messages of a slow reader wait in memory. */
const chunk = 128 * 1024;
const readAt = promisify(read);

/** Reads files in Node's pool. What is collected or put aside meanwhile is read to its end. */
export function createContentReader(): ContentReader {
  const reads = createSemaphore(mostReads);
  return async ({ digest, size, path }, range, send, signal) => {
    if (range.offset > size)
      throw new ArtifactError('invalid', `${digest} has ${size} bytes; ${range.offset} is past its end`);
    using _turn = await reads.acquire(signal);
    const fd = open(path, digest);
    try {
      const end = range.size > 0 ? Math.min(size, range.offset + range.size) : size;
      for (let offset = range.offset; offset < end; ) {
        const data = Buffer.allocUnsafe(Math.min(chunk, end - offset));
        const { bytesRead } = await readAt(fd, data, 0, data.length, offset);
        if (bytesRead === 0) throw new ArtifactError('corrupt', `${digest} ends after ${offset} bytes`);
        await send({ offset, data: data.subarray(0, bytesRead) });
        signal.throwIfAborted();
        offset += bytesRead;
      }
    } finally {
      closeSync(fd);
    }
  };
}

function open(path: string, digest: string): number {
  try {
    return openRegular(path);
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT') throw new ArtifactError('not-found', `content ${digest}: not found`);
    throw thrown;
  }
}
