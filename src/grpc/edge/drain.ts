import { setTimeout as sleep } from 'node:timers/promises';
import { ArtifactError } from '../../util/error.ts';

/** Tracks the calls in progress, and ends them when the daemon stops. */
export type Drain = {
  /** Registers a call until disposed. @throws the error of the stop once the daemon is stopping. */
  enter(abort: (reason: ArtifactError) => void): Disposable;
  /**
   * Refuses new calls with an error, gives calls in progress `graceMs` to finish, aborts the rest with it, and waits for
   * them until `limitMs`.
   */
  stop(error: () => ArtifactError, graceMs: number, limitMs: number): Promise<void>;
};

export function openDrain(): Drain {
  const inside = new Set<(reason: ArtifactError) => void>();
  const empty = Promise.withResolvers<void>();
  let stopping: (() => ArtifactError) | undefined;

  return {
    enter(abort) {
      if (stopping !== undefined) throw stopping();
      // A set would merge two calls that share a function.
      const own = (reason: ArtifactError): void => abort(reason);
      inside.add(own);
      return {
        [Symbol.dispose]: () => {
          inside.delete(own);
          if (stopping !== undefined && inside.size === 0) empty.resolve();
        },
      };
    },
    async stop(error, graceMs, limitMs) {
      stopping = error;
      if (inside.size === 0) return;
      await within(graceMs, empty.promise);
      for (const abort of inside) abort(error());
      if (inside.size > 0) await within(limitMs - graceMs, empty.promise);
    },
  };
}

export function refusal(): ArtifactError {
  return new ArtifactError(
    'unavailable',
    'the daemon is stopping; kubelet calls again by itself; run a command again when the daemon is back',
  );
}

/** ABORTED: kubelet calls again, and the successor answers. */
export function succession(): ArtifactError {
  return new ArtifactError(
    'busy',
    'a new daemon takes over; it keeps what was downloaded, and continues at the next call',
  );
}

/** Waits for work, at most `ms`. */
export async function within(ms: number, work: Promise<void>): Promise<void> {
  const timer = new AbortController();
  const late = sleep(ms, undefined, { signal: timer.signal }).catch(() => {});
  await Promise.race([work, late]);
  timer.abort();
}
