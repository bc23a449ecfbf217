import { hash } from 'node:crypto';
import { ArtifactError, type ErrorCode } from '../../util/error.ts';
import { formatTime, Paused } from '../../util/pause.ts';
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

function isUnreachable(thrown: unknown): boolean {
  for (let error = thrown; error instanceof Error; error = error.cause) {
    if (error instanceof UnreachableError) return true;
  }
  return false;
}

/** Time and chance, replaced in tests. `now` returns milliseconds since 1970, `random` a number from 0 up to 1. */
export type Clock = {
  now(): number;
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  random(): number;
};

/** Called before each wait. */
export type OnRetry = (retry: Retry) => void;

const firstWaitMs = 200;
const budgetMs = 30_000;
const fewestTries = 3;
const hastyTries = 2;

/** The remaining attempts. */
export type RetryPolicy = {
  /** Called if bytes arrived before the failure: the limits start over. @throws the failure itself, if they do not. */
  renew(failure: TransientError): void;
  /** Waits before the next attempt. @throws the failure itself, with the attempts made, when they are used up. */
  wait(failure: TransientError, signal: AbortSignal): Promise<void>;
};

/**
 * Returns a policy with waits of 0.2 s, doubling, with jitter (half to one and a half), or as long as the server asked.
 * It ends after 30 s, including the attempts, but allows at least three attempts. `subject` names the request in the
 * last error, because a TransientError does not. `hasty`: two attempts are enough if the host does not answer.
 */
export function openRetryPolicy(subject: string, clock: Clock, onRetry: OnRetry, hasty = false): RetryPolicy {
  let start = clock.now();
  let tries = 0;
  return {
    renew() {
      start = clock.now();
      tries = 0;
    },
    async wait(failure, signal) {
      tries += 1;
      const left = start + budgetMs - clock.now();
      const isShort = hasty && isUnreachable(failure);
      if (isShort ? tries >= hastyTries : left <= 0 && tries >= fewestTries) {
        const taken = formatSeconds(clock.now() - start);
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

/** More than any wait, and within the range of dates: it stands for all longer times. */
const longestWaitMs = 365 * 24 * 3_600_000;

/**
 * Returns a Retry-After header in milliseconds from `now`: seconds or a date (RFC 9110, 10.2.3); 0 without one, at most
 * a year.
 */
export function parseRetryAfter(header: string | undefined, now: number): number {
  if (header === undefined) return 0;
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - now;
  return Number.isNaN(ms) ? 0 : Math.min(Math.max(0, ms), longestWaitMs);
}

/** Waits up to this many milliseconds happen at once: they are hardly longer than an attempt. */
const shortPauseMs = 5_000;
/** Far above the registries and credentials of a node that ask to wait at a time. */
const mostPauses = 1_000;

/** The hosts that ask to wait. */
export type Pauses = {
  /** @throws Paused if the caller must wait; ArtifactError `unavailable` if that is too long. */
  verify(request: PausedRequest): void;
  /** Returns the error of a request that failed: a pause if the host asks to wait. */
  toError(request: PausedRequest, thrown: unknown): unknown;
  /** Which hosts are not asked now, until when and why, one line each. */
  problems(): readonly string[];
};

/** `secret`: equal for requests with the same credential. */
type PausedRequest = { readonly host: string; readonly secret: object; readonly subject: string };

/** `until`: when the host is asked again. `isLong`: it asks for more. */
type HostPause = {
  readonly host: string;
  readonly until: number;
  readonly isLong: boolean;
  readonly subject: string;
  readonly cause: TransientError;
};

/** The hosts that are listed at most. */
const mostProblems = 10;

/**
 * Obeys Retry-After (RFC 9110, 10.2.3): a host is not asked again with the same credential before the time, for any
 * request, because registries limit clients and not repositories. A token server counts for its registry. A wait longer
 * than `longestMs` fails at once, and the host is asked again after `longestMs`.
 */
export function openPauses(clock: Pick<Clock, 'now'>, longestMs: number, onRetry: OnRetry): Pauses {
  const pauses = new Map<string, HostPause>();

  const toPaused = ({ host, until, isLong, cause }: HostPause, message: string): ArtifactError =>
    isLong ? new ArtifactError('unavailable', message, cause) : new Paused({ host, until }, message, cause);

  return {
    verify(request) {
      const key = toKey(request);
      const pause = pauses.get(key);
      if (pause === undefined || pause.until <= clock.now()) return void pauses.delete(key);
      const { host, until, subject, cause } = pause;
      // The other request may be of another tenant.
      const whose = subject === request.subject ? '' : ' to another request of this node';
      throw toPaused(
        pause,
        `${host} is not asked before ${formatTime(until)}, because of its answer${whose}: ${cause.message}`,
      );
    },
    toError(request, thrown) {
      if (!(thrown instanceof TransientError) || thrown.afterMs <= shortPauseMs) return thrown;
      const { host, subject } = request;
      const now = clock.now();
      const waitMs = Math.min(thrown.afterMs, longestMs);
      const isLong = thrown.afterMs > longestMs;
      const pause = { host, until: now + waitMs, isLong, subject, cause: thrown };
      const asked =
        thrown.afterMs === longestWaitMs
          ? 'for a year or longer'
          : `until ${formatTime(now + thrown.afterMs)}${isLong ? ` (${formatWait(thrown.afterMs)})` : ''}`;
      const again = isLong ? `; it is asked again at ${formatTime(pause.until)}, by --retry-after-max` : '';
      const error = toPaused(pause, `${thrown.message}; ${host} asks to wait ${asked}${again}`);
      if (pauses.size >= mostPauses) pauses.clear();
      onRetry({ subject, reason: error.message, waitMs });
      pauses.set(toKey(request), pause);
      return error;
    },
    problems() {
      const now = clock.now();
      const open = [...pauses.values()].filter(({ until }) => until > now).slice(0, mostProblems);
      return open.map(
        ({ host, until, subject, cause }) =>
          `${host} is not asked before ${formatTime(until)}, because of its answer to ${subject}: ${cause.message}`,
      );
    },
  };
}

function toKey({ host, secret }: PausedRequest): string {
  return hash('sha256', JSON.stringify([host, secret]));
}

function formatWait(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  const units = [
    [3600, 'h'],
    [60, 'min'],
    [1, 's'],
  ] as const;
  let left = seconds;
  const parts = units.flatMap(([size, unit]) => {
    const count = Math.floor(left / size);
    left -= count * size;
    return count === 0 ? [] : [`${count} ${unit}`];
  });
  return parts.join(' ');
}
