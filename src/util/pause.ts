import { ArtifactError } from './error.ts';
import { sleep } from './sleep.ts';

/** A registry that must not be asked before a time, in milliseconds since 1970. */
export type Pause = { readonly host: string; readonly until: number };

/** Thrown in place of a request to a registry that asks to wait. A caller that can wait holds nothing meanwhile. */
export class Paused extends ArtifactError {
  readonly pause: Pause;

  constructor(pause: Pause, message: string, cause?: unknown) {
    super('unavailable', message, cause);
    this.pause = pause;
  }
}

/** Returns the pause that caused an error, through all its wrappers. */
export function findPause(thrown: unknown): Pause | undefined {
  for (let error = thrown; error instanceof Error; error = error.cause) {
    if (error instanceof Paused) return error.pause;
  }
  return undefined;
}

/** How often the work is retried during a pause: other upstreams may have recovered. */
const stepMs = 15_000;

/**
 * Repeats work while it throws pauses. `tell` is called with each wait, and with undefined at its end.
 *
 * @throws other errors of the work; the pause itself once the signal has aborted.
 */
export async function throughPauses<T>(
  work: () => Promise<T>,
  tell: (pause: Pause | undefined) => void,
  signal: AbortSignal,
): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (thrown) {
      const pause = findPause(thrown);
      if (pause === undefined || signal.aborted) throw thrown;
      tell(pause);
      const waitMs = Math.min(Math.max(pause.until - Date.now(), 0), stepMs);
      // A cancelled caller gets the pause at the next turn.
      await sleep(waitMs, signal);
      if (signal.aborted) throw thrown;
      tell(undefined);
    }
  }
}

/** `2026-05-01T12:34:56Z` (RFC 3339), rounded up. */
export function formatTime(ms: number): string {
  return new Date(Math.ceil(ms / 1000) * 1000).toISOString().replace('.000Z', 'Z');
}
