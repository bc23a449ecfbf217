import { ArtifactError, findCause } from './error.ts';
import { sleep } from './sleep.ts';

/** Why a registry must not be asked before a time, in milliseconds since 1970; the reason is for users. */
export type Pause = { readonly until: number; readonly reason: string };

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
  return findCause(thrown, Paused)?.pause;
}

/**
 * Whether a time that began at `since` lasts, by a clock that may be set. One that was set back behind the beginning says
 * no longer when it ends: hours may have become of seconds.
 */
export function lasts(
  { since, until }: { readonly since: number; readonly until: number },
  now: number,
): boolean {
  return since <= now && now < until;
}

/** A time in which something is not used because it failed. */
export type Backoff = {
  readonly since: number;
  readonly until: number;
  readonly ms: number;
  readonly failure: ArtifactError;
};

/** Backoffs of 30 s, and of twice as long each time it fails again, up to 10 min. */
export type Backoffs = {
  /** Returns the backoff that lasts now. */
  of(key: string): Backoff | undefined;
  /** Returns the backoff that begins. Undefined while one lasts: requests that were in progress do not count again. */
  begin(key: string, failure: ArtifactError): Backoff | undefined;
  /** The next backoff is a first one. */
  reset(key: string): void;
  /** The keys whose backoff lasts now. */
  keys(): readonly string[];
};

const firstBackoffMs = 30_000;
const longestBackoffMs = 600_000;
/** More than a node asks within a backoff. */
const keptBackoffs = 10_000;

export function createBackoffs({ now }: { now(): number }): Backoffs {
  const backoffs = new Map<string, Backoff>();
  const of: Backoffs['of'] = key => {
    const backoff = backoffs.get(key);
    return backoff !== undefined && lasts(backoff, now()) ? backoff : undefined;
  };
  return {
    of,
    begin(key, failure) {
      if (of(key) !== undefined) return undefined;
      const since = now();
      const ms = Math.min(2 * (backoffs.get(key)?.ms ?? firstBackoffMs / 2), longestBackoffMs);
      if (backoffs.size >= keptBackoffs) backoffs.clear();
      const backoff = { since, until: since + ms, ms, failure };
      backoffs.set(key, backoff);
      return backoff;
    },
    reset: key => void backoffs.delete(key),
    keys: () => [...backoffs.keys()].filter(key => of(key) !== undefined),
  };
}

/** How often the work is retried during a pause: mirrors may have what they lacked. */
const stepMs = 5_000;
const longestSpreadMs = 15_000;

/** The time after a wait in which those that waited ask again, each at a random moment: a tenth, at most 15 s. */
export function spreadMs(waitMs: number): number {
  return Math.min(waitMs / 10, longestSpreadMs);
}

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
