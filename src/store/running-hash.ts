import type { Algorithm } from '../oci/digest.ts';
import type { Thread } from '../util/thread.ts';
import type { HashStep } from './hash-worker.ts';

/** Answers the hex with the last step. */
export type HashThread = Thread<HashStep, string | undefined>;

/**
 * The hash of an open file while it grows, computed in another thread. That one reads the file again, from the page
 * cache, so all that it is told is how far the file is there: nobody waits for it, no memory is shared, and a resume
 * is only a file that has much to begin with.
 */
export type RunningHash = {
  /** So many bytes are there now, and stay as they are. */
  grow(size: number): void;
  /** Nothing is there any more. */
  restart(): void;
  /** Waits until less than a step is left to hash. @throws the signal's reason. */
  catchUp(signal: AbortSignal): Promise<void>;
  /** The hex of all that is there. @throws if the file could not be read. */
  digest(): Promise<string>;
  /** Afterwards nothing reads the file. */
  end(): Promise<void>;
};

/** Bytes hashed at a time, some 3 ms: downloads that share a thread take turns, and it is not woken for each chunk. */
const stepBytes = 4 * 1024 * 1024;
/** Steps that lie at the thread, so that it does not wait for us between two of them. */
const maxAsked = 3;

/** @param id its own within the thread. */
export function startHash(thread: HashThread, id: number, fd: number, algorithm: Algorithm): RunningHash {
  let size = 0;
  let asked = 0;
  let begun = false;
  const steps = new Set<Promise<void>>();
  let failure: { readonly thrown: unknown } | undefined;

  const ask = (to: number, last: boolean): Promise<string | undefined> => {
    const from = asked;
    asked = to;
    begun = !last;
    return thread.ask({ id, fd, algorithm, from, to, last });
  };
  const canAsk = (): boolean => failure === undefined && steps.size < maxAsked && size - asked >= stepBytes;
  const takeStep = (): void => {
    const answered = async (): Promise<void> => {
      try {
        await ask(asked + stepBytes, false);
      } catch (thrown) {
        failure ??= { thrown };
      }
      steps.delete(step);
      advance();
    };
    const step = answered();
    steps.add(step);
  };
  const advance = (): void => {
    while (canAsk()) takeStep();
  };
  const stepsDone = async (signal?: AbortSignal): Promise<void> => {
    while (steps.size > 0) {
      signal?.throwIfAborted();
      await Promise.race(steps);
    }
  };
  const finish = async (): Promise<string> => {
    await stepsDone();
    if (failure !== undefined) throw failure.thrown;
    return (await ask(size, true)) ?? '';
  };

  return {
    grow(to) {
      size = to;
      advance();
    },
    restart() {
      size = 0;
      asked = 0;
      failure = undefined;
    },
    catchUp: stepsDone,
    digest: finish,
    async end() {
      size = asked;
      if (begun) await finish().catch(() => {});
    },
  };
}
