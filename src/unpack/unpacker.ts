import type { Digest } from '../oci/digest.ts';
import type { Unpacker } from '../ports/unpacker.ts';
import type { TocSummary } from '../tree/toc.ts';
import { ArtifactError, errnoOf, toArtifactError } from '../util/error.ts';
import { startThread } from '../util/thread.ts';
import type { Amount } from './growth.ts';
import type { UnpackJob, UnpackQuestion } from './job.ts';
import type { UnpackLimits } from './limits.ts';
import { startsAsTar } from './tar-start.ts';
import { setXattrs } from './xattrs.ts';

export type ThreadUnpacker = AsyncDisposable & Unpacker;

/** MiB. The table of contents is written as it grows; a few chunks and the headers of one entry stay in memory. */
const resourceLimits = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 128 };

/** Disposing it ends running work. @param grow grants disk space to a layer before it uses it. */
export function openUnpacker(
  limits: UnpackLimits,
  grow: (digest: Digest, more: Amount, written: Amount) => Promise<void> = async () => {},
): ThreadUnpacker {
  const threads = new Set<AsyncDisposable>();
  let closing = false;
  return {
    async unpack(source, digest, into, signal) {
      signal.throwIfAborted();
      try {
        // The thread has ended here, so the directory belongs to the caller alone again.
        await using thread = startThread<UnpackJob, TocSummary>(import.meta.url, 'worker', {
          resourceLimits,
          answer: (question: UnpackQuestion) =>
            question.kind === 'grow'
              ? grow(digest, question.more, question.written)
              : setXattrs(question.batch),
        });
        using stack = new DisposableStack();
        const end = (): void => void thread[Symbol.asyncDispose]();
        signal.addEventListener('abort', end);
        stack.defer(() => signal.removeEventListener('abort', end));
        threads.add(thread);
        stack.defer(() => threads.delete(thread));
        return await thread.ask({
          source: source.path,
          diffId: source.diffId,
          digest,
          into: into.path,
          form: into.form,
          limits,
        });
      } catch (thrown) {
        signal.throwIfAborted();
        if (closing) throw new ArtifactError('cancelled', `unpacking layer ${digest} was given up`);
        throw toThreadError(thrown, digest);
      }
    },
    isTar: startsAsTar,
    async [Symbol.asyncDispose]() {
      closing = true;
      await Promise.all([...threads].map(thread => thread[Symbol.asyncDispose]()));
    },
  };
}

function toThreadError(thrown: unknown, digest: Digest): ArtifactError {
  return errnoOf(thrown) === 'ERR_WORKER_OUT_OF_MEMORY'
    ? new ArtifactError('unmountable', `layer ${digest} needs too much memory to unpack`, thrown)
    : toArtifactError(thrown);
}
