import { ArtifactError, type ErrorCode, findCause } from '../../util/error.ts';
import { findPause, Paused } from '../../util/pause.ts';
import { formatSeconds, type Retry } from '../../util/retry.ts';

/** A failure that may pass, such as a cut or a 503. `afterMs` is the wait in milliseconds that the server asked for. */
export class TransientError extends ArtifactError {
  readonly afterMs: number;

  constructor(code: ErrorCode, message: string, cause?: unknown, afterMs = 0) {
    super(code, message, cause);
    this.afterMs = afterMs;
  }
}

/** A server that has stopped sending. */
export class StalledError extends TransientError {}

/** A host that did not answer: it is down, does not listen, or closes what it does not understand. */
export class UnreachableError extends TransientError {}

/** Content with another size than its descriptor says: the server may be wrong, or whoever wrote the manifest. */
export class SizeError extends ArtifactError {
  constructor(message: string) {
    super('corrupt', message);
  }
}

/**
 * Time and chance, replaced in tests. `now` returns milliseconds since 1970, and may be set; `elapsed` those of a clock
 * that nobody sets, for durations. `random` returns a number from 0 up to 1.
 */
export type Clock = {
  now(): number;
  elapsed(): number;
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  random(): number;
};

/** Called before each wait. */
export type OnRetry = (retry: Retry) => void;

const firstWaitMs = 200;
/** How long attempts are made. */
export const budgetMs = 30_000;
const fewestTries = 3;
const hastyTries = 2;

/** The remaining attempts. */
export type RetryPolicy = {
  /** Called if bytes arrived before the failure: the limits start over. @throws the failure itself, if they do not. */
  renew(failure: TransientError): void;
  /**
   * Waits before the next attempt.
   *
   * @throws the failure itself, with the attempts made, when they are used up; Paused if the server asks for a longer
   *   wait than is left.
   */
  wait(failure: TransientError, signal: AbortSignal): Promise<void>;
};

/**
 * Returns a policy with waits of 0.2 s, doubling, with jitter (half to one and a half), or as long as the server asked.
 * It ends after 30 s, including the attempts, but allows at least three attempts. `subject` names the request in the
 * last error, because a TransientError does not. `hasty`: two attempts are enough if the host does not answer.
 */
export function openRetryPolicy(subject: string, clock: Clock, onRetry: OnRetry, hasty = false): RetryPolicy {
  let start = clock.elapsed();
  let tries = 0;
  return {
    renew() {
      start = clock.elapsed();
      tries = 0;
    },
    async wait(failure, signal) {
      tries += 1;
      const left = start + budgetMs - clock.elapsed();
      const pause = failure.afterMs > left ? findPause(failure) : undefined;
      if (pause !== undefined) throw new Paused(pause, `${subject}: ${failure.message}`, failure);
      const isShort = hasty && findCause(failure, UnreachableError) !== undefined;
      if (isShort ? tries >= hastyTries : left <= 0 && tries >= fewestTries) {
        const taken = formatSeconds(clock.elapsed() - start);
        throw new ArtifactError(
          failure.code,
          `${subject}: ${failure.message}; gave up after ${tries} tries in ${taken}; check the host and the network path to it`,
          failure,
        );
      }
      const backoff = firstWaitMs * 2 ** (tries - 1) * (0.5 + clock.random());
      const waitMs = Math.min(Math.max(backoff, failure.afterMs), Math.max(left, firstWaitMs));
      const most = isShort ? hastyTries : Math.max(fewestTries, tries + triesWithin(left, tries));
      onRetry({ subject, reason: failure.message, waitMs, tries: { next: tries + 1, most } });
      await clock.sleep(waitMs, signal);
    },
  };
}

/** Estimates how many attempts still fit if each fails at once. */
function triesWithin(leftMs: number, tries: number): number {
  const nextWaitMs = firstWaitMs * 2 ** (tries - 1);
  return Math.ceil(Math.log2(Math.max(leftMs, 0) / nextWaitMs + 1));
}

/** The cuts in one blob after which a mirror is abandoned. */
const mostCuts = 8;

/**
 * A mirror is asked once, because there are others. A cut after some bytes is an exception: a mirror that forwards from
 * peers is cut when a peer leaves, and has others. A stall costs too much time to be repeated.
 */
export function startMirrorRetries(): RetryPolicy {
  let cuts = 0;
  return {
    renew(failure) {
      cuts += 1;
      if (failure instanceof StalledError || cuts > mostCuts) throw failure;
    },
    async wait(failure) {
      throw failure;
    },
  };
}

/** Repeats until it succeeds, fails for good, or the policy ends. */
export async function retry<T>(
  attempt: () => Promise<T>,
  policy: RetryPolicy,
  signal: AbortSignal,
): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch (thrown) {
      if (!(thrown instanceof TransientError)) throw thrown;
      await policy.wait(thrown, signal);
    }
  }
}
