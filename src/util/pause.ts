import timers from 'node:timers/promises';
import { ArtifactError } from './error.ts';

/** A registry that asks not to be asked before a time, in milliseconds since 1970. */
export type Pause = { readonly host: string; readonly until: number };

/** Thrown in place of a question to a registry that asks to wait. Whoever can wait holds nothing meanwhile. */
export class Paused extends ArtifactError {
  readonly pause: Pause;

  constructor(pause: Pause, message: string, cause?: unknown) {
    super('unavailable', message, cause);
    this.pause = pause;
  }
}

/** The pause that something was thrown for, whatever has been said about it since. */
export function findPause(thrown: unknown): Pause | undefined {
  for (let error = thrown; error instanceof Error; error = error.cause) {
    if (error instanceof Paused) return error.pause;
  }
  return undefined;
}

/** How often the work is tried during a pause: it may have other places to ask, which may be well again. */
const stepMs = 15_000;

/**
 * Does work again for as long as it is thrown out by pauses. `tell` hears of each wait, and with undefined of its end.
 *
 * @throws what else the work throws; the pause itself once the signal has aborted.
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
      // Who is cancelled hears of the pause at the next turn.
      await timers.setTimeout(waitMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) throw thrown;
      tell(undefined);
    }
  }
}

/** `2026-05-01T12:34:56Z` (RFC 3339), rounded up. */
export function formatTime(ms: number): string {
  return new Date(Math.ceil(ms / 1000) * 1000).toISOString().replace('.000Z', 'Z');
}
