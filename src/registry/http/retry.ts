import { ArtifactError, type ErrorCode, findCause } from '../../util/error.ts';
import { findPause, Paused } from '../../util/pause.ts';
import { formatSeconds, type Retry } from '../../util/retry.ts';
import { anyRate, type LeastRate, tooSlow } from './request.ts';

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

/**
 * The new bytes that an attempt brought before it failed, and how long it took. `received`: with known bytes that came
 * again. `sentMs`: since the head of the response. `host`: who sent them. `isHeld`: their rate was bounded here, so it
 * says nothing about the server.
 */
export type Gain = {
  readonly bytes: number;
  readonly received: number;
  readonly ms: number;
  readonly sentMs: number;
  readonly host: string;
  readonly isHeld: boolean;
};

/** Less than this in less time than that is next to nothing: a server that sends it could be asked for ever. */
const scantBytes = 64 * 1024;
const scantMs = 2_000;
/** The attempts in a row after which one that brings next to nothing counts as one that brings nothing. */
const mostScant = 8;

/** The remaining attempts. */
export type RetryPolicy = {
  /**
   * Called if bytes arrived before the failure: the limits start over, and the next attempt begins at once. After too
   * many attempts in a row that brought next to nothing, it is as `wait`.
   *
   * @throws the failure itself, if the limits do not start over; `unavailable` if the server is too slow, counting all
   *   attempts.
   */
  renew(failure: TransientError, gain: Gain, signal: AbortSignal): Promise<void>;
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
 * `leastRate`: for all attempts that bring bytes together; default none.
 */
export function openRetryPolicy(
  subject: string,
  clock: Clock,
  onRetry: OnRetry,
  { hasty = false, leastRate = anyRate }: { readonly hasty?: boolean; readonly leastRate?: LeastRate } = {},
): RetryPolicy {
  let start = clock.elapsed();
  let tries = 0;
  let scant = 0;
  const verifyRate = sumRate(leastRate);
  const policy: RetryPolicy = {
    async renew(failure, gain, signal) {
      verifyRate(gain);
      scant = isScant(gain) ? scant + 1 : 0;
      if (scant > mostScant) return await policy.wait(failure, signal);
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
  return policy;
}

function isScant({ bytes, ms }: Gain): boolean {
  return bytes < scantBytes && ms < scantMs;
}

/**
 * Adds up what attempts bring: each response has its own measurement, which a server could end by ending the response.
 * As there, the time before the head does not count, unless next to nothing follows: a server could send only heads.
 *
 * @returns a function that throws `unavailable` if all of them together were too slow.
 */
function sumRate(rate: LeastRate): (gain: Gain) => void {
  let sum = { bytes: 0, ms: 0 };
  return ({ received, ms, sentMs, host, isHeld }) => {
    if (isHeld || rate.bytesPerSecond === 0) return;
    sum = { bytes: sum.bytes + received, ms: sum.ms + (received < scantBytes ? ms : sentMs) };
    if (sum.ms < rate.overMs) return;
    if (sum.bytes < (rate.bytesPerSecond * sum.ms) / 1000) throw tooSlow(rate, host, sum.bytes, sum.ms);
    sum = { bytes: 0, ms: 0 };
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
    async renew(failure) {
      cuts += 1;
      if (findCause(failure, StalledError) !== undefined || cuts > mostCuts) throw failure;
    },
    async wait(failure) {
      throw failure;
    },
  };
}

/** For one of several connections, which nothing depends on: an attempt is repeated only if it brought some bytes. */
export function startRangeRetries(): RetryPolicy {
  let scant = 0;
  return {
    async renew(failure, gain) {
      scant = isScant(gain) ? scant + 1 : 0;
      if (scant > mostScant) throw failure;
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
