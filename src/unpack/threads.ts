import type { TocSummary } from '../tree/toc.ts';
import { startThread, type Thread } from '../util/thread.ts';
import type { UnpackJob, UnpackQuestion } from './job.ts';

type UnpackThread = Thread<UnpackJob, TocSummary>;

/** Disposing it ends the thread, with what it does. */
export type TakenThread = UnpackThread & {
  /** Lets others take the thread, which has finished its work. It is no longer the caller's to dispose. */
  putBack(): void;
};

/**
 * Threads that unpack one layer after the other: the start of a thread, with the code that it compiles anew, takes as
 * much CPU time as 2,000 entries. Disposing it ends all threads.
 */
export type UnpackThreads = AsyncDisposable & {
  /** @param answer answers the thread's questions while it is taken. */
  take(answer: Answer): TakenThread;
};

type Answer = (question: UnpackQuestion) => unknown;

/** MiB. The table of contents is written as it grows; a few chunks and the headers of one entry stay in memory. */
const resourceLimits = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 128 };
/** A thread that nobody takes soon gives its memory back. */
const restMs = 250;

export function openUnpackThreads(): UnpackThreads {
  const all = new Map<UnpackThread, Answer>();
  const resting = new Map<UnpackThread, NodeJS.Timeout>();

  const awake = (thread: UnpackThread): void => {
    clearTimeout(resting.get(thread));
    resting.delete(thread);
  };
  const start = (first: Answer): UnpackThread => {
    const onEnd = (): void => {
      all.delete(thread);
      awake(thread);
    };
    const answer: Answer = question => all.get(thread)?.(question);
    const thread: UnpackThread = startThread(import.meta.url, 'worker', { resourceLimits, answer, onEnd });
    all.set(thread, first);
    return thread;
  };

  return {
    take(answer) {
      const [rested] = resting.keys();
      const thread = rested ?? start(answer);
      if (rested !== undefined) all.set(rested, answer);
      awake(thread);
      const end = async (): Promise<void> => await thread[Symbol.asyncDispose]();
      let isTaken = true;
      return {
        ask: thread.ask,
        putBack() {
          isTaken = false;
          if (all.has(thread)) resting.set(thread, setTimeout(() => void end(), restMs).unref());
        },
        async [Symbol.asyncDispose]() {
          if (isTaken) await end();
        },
      };
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...all.keys()].map(thread => thread[Symbol.asyncDispose]()));
    },
  };
}
