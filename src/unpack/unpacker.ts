import type { Digest } from '../oci/digest.ts';
import type { UnpackDestination, Unpacker, UnpackSource } from '../ports/unpacker.ts';
import { ArtifactError, errnoOf, toArtifactError } from '../util/error.ts';
import type { UnpackQuestion } from './job.ts';
import type { UnpackLimits } from './limits.ts';
import { startsAsTar } from './tar-start.ts';
import { openUnpackThreads } from './threads.ts';
import { setXattrs } from './xattrs.ts';

export type ThreadUnpacker = AsyncDisposable & Unpacker;

/** Disposing it ends running work. */
export function openUnpacker(limits: UnpackLimits): ThreadUnpacker {
  const threads = openUnpackThreads();
  let closing = false;
  return {
    async unpack(source, digest, into, signal) {
      signal.throwIfAborted();
      try {
        // The thread has finished or ended here, so the directory belongs to the caller alone again.
        await using thread = threads.take(question => answer(question, source, into));
        using stack = new DisposableStack();
        const end = (): void => void thread[Symbol.asyncDispose]();
        signal.addEventListener('abort', end);
        stack.defer(() => signal.removeEventListener('abort', end));
        const summary = await thread.ask({
          source: source.path,
          diffId: source.diffId,
          arriving: source.arrival?.size,
          digest,
          into: into.path,
          form: into.form,
          limits,
        });
        signal.throwIfAborted();
        thread.putBack();
        return summary;
      } catch (thrown) {
        signal.throwIfAborted();
        if (closing) throw new ArtifactError('cancelled', `unpacking layer ${digest} was given up`);
        throw toThreadError(thrown, digest);
      }
    },
    isTar: startsAsTar,
    async [Symbol.asyncDispose]() {
      closing = true;
      await threads[Symbol.asyncDispose]();
    },
  };
}

function answer(question: UnpackQuestion, { arrival }: UnpackSource, { grow }: UnpackDestination): unknown {
  switch (question.kind) {
    case 'xattrs':
      return setXattrs(question.batch);
    case 'grow':
      return grow(question.more, question.written);
    case 'more':
      return arrival?.more(question.past);
  }
}

function toThreadError(thrown: unknown, digest: Digest): ArtifactError {
  return errnoOf(thrown) === 'ERR_WORKER_OUT_OF_MEMORY'
    ? new ArtifactError('unmountable', `layer ${digest} needs too much memory to unpack`, thrown)
    : toArtifactError(thrown);
}
