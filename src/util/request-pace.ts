import { abortable } from './abortable.ts';

/** Waits for the turn of a request. @throws the signal's reason. */
export type RequestTurn = (signal: AbortSignal) => Promise<void>;

/** How often requests begin: some wait for their turn, and others only count. */
export type RequestPace = {
  /** In the order in which they ask. */
  readonly turn: RequestTurn;
  /** Whether a request that asked for its turn now would begin at once. */
  isFree(): boolean;
  /** Counts a request that begins at once. Those with turns wait longer for it, for twice as many as `burst` at most. */
  count(): void;
};

/**
 * Lets one request begin every `everyMs` on average. After a pause, or at the start, `burst` of them begin at once. The
 * first of all waits for `startMs`.
 *
 * @param now milliseconds of a monotonic clock.
 */
export function createRequestPace(
  {
    everyMs,
    burst,
    startMs = 0,
  }: { readonly everyMs: number; readonly burst: number; readonly startMs?: number },
  now: () => number = () => performance.now(),
): RequestPace {
  const startAt = now() + startMs;
  /** When as many as `burst` may begin at once again. */
  let fullAt = startAt;
  const nextAt = (): number => Math.max(now(), startAt, fullAt - (burst - 1) * everyMs);
  return {
    async turn(signal) {
      signal.throwIfAborted();
      const at = nextAt();
      fullAt = Math.max(fullAt, at) + everyMs;
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, Math.max(0, at - now()));
      try {
        await abortable(promise, signal);
      } finally {
        clearTimeout(timer);
      }
    },
    isFree: () => nextAt() <= now(),
    count() {
      const owedAt = Math.min(Math.max(fullAt, now()) + everyMs, now() + 2 * burst * everyMs);
      fullAt = Math.max(fullAt, owedAt);
    },
  };
}
