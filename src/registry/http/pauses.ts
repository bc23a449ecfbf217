import { hash } from 'node:crypto';
import { ArtifactError } from '../../util/error.ts';
import { formatTime, lasts, Paused, spreadMs } from '../../util/pause.ts';
import { formatWait } from '../../util/retry.ts';
import { budgetMs, type Clock, type OnRetry, TransientError } from './retry.ts';
import { longestWaitMs } from './retry-after.ts';

/** Waits up to this many milliseconds are attempts of the retry policy: they are hardly longer than one. */
const shortPauseMs = 5_000;
/** Far above the registries and credentials of a node that ask to wait at a time, and the requests that do. */
const mostPauses = 1_000;
/** How long after its wait a request must come again, so that its waits count together. */
const togetherMs = 60_000;

/** The hosts that ask to wait. */
export type Pauses = {
  /**
   * @throws if the caller must wait: TransientError for a short wait, else Paused; ArtifactError `unavailable` if that
   *   is too long.
   */
  verify(request: PausedRequest): void;
  /** Records that the host answered a request by asking for a wait. Returns its error, as `verify` throws it. */
  toError(request: PausedRequest, thrown: TransientError): ArtifactError;
  /** The request has its answer: its waits are over. */
  answered(request: PausedRequest): void;
  /** Which hosts are not asked now, until when and why, one line each. */
  problems(): readonly string[];
};

/** `secret`: equal for requests with the same credential. */
type PausedRequest = { readonly host: string; readonly secret: object; readonly subject: string };

/**
 * `since`: when it asked to wait. `until`: when it is asked again, by each request at another time of the `spreadMs`
 * after it. `kind`: by how much it asks for. `salt`: random.
 */
type HostPause = {
  readonly host: string;
  readonly since: number;
  readonly until: number;
  readonly spreadMs: number;
  readonly salt: number;
  readonly kind: 'short' | 'long' | 'too-long';
  readonly subject: string;
  readonly cause: TransientError;
};

/** The hosts that are listed at most. */
const mostProblems = 10;

/**
 * Obeys Retry-After (RFC 9110, 10.2.3): a host is not asked again with the same credential before the time, for any
 * request, because registries limit clients and not repositories. A token server counts for its registry. A wait longer
 * than `longestMs` fails at once, and the host is asked again after `longestMs`; so does a request whose waits are
 * longer together. The requests of many nodes wait for the same time, and ask again at random times of the tenth of it
 * that follows.
 */
export function openPauses(
  clock: Pick<Clock, 'now' | 'random'>,
  longestMs: number,
  onRetry: OnRetry,
): Pauses {
  const mostMs = Math.max(longestMs, budgetMs);
  const pauses = new Map<string, HostPause>();
  /** Since when a request waits, and until when it does. */
  const waits = new Map<string, { readonly since: number; readonly until: number }>();

  function refuse(request: PausedRequest, pause: HostPause, until: number, message: string): ArtifactError {
    const { host, kind, cause } = pause;
    if (kind === 'too-long') return new ArtifactError('unavailable', message, cause);
    const now = clock.now();
    const key = toKey(request, request.subject);
    const before = waits.get(key);
    const since = before === undefined || before.until + togetherMs < now ? now : before.since;
    if (pause.until - since > mostMs) {
      waits.delete(key);
      const all = `it would wait for ${formatWait(pause.until - since)} in all, above --retry-after-max`;
      return new ArtifactError('unavailable', `${message}; ${all}`, cause);
    }
    if (waits.size >= mostPauses) waits.clear();
    waits.set(key, { since, until });
    const reason = `${host} asks to wait until ${formatTime(pause.until)}`;
    const paused = new Paused({ until, reason }, message, cause);
    return kind === 'short' ? new TransientError('unavailable', message, paused, until - now) : paused;
  }

  return {
    verify(request) {
      const key = toKey(request);
      const pause = pauses.get(key);
      if (pause === undefined) return;
      const until = untilOf(pause, request.subject);
      const now = clock.now();
      const { since } = pause;
      if (!lasts({ since, until }, now)) {
        if (!lasts({ since, until: pause.until + pause.spreadMs }, now)) pauses.delete(key);
        return;
      }
      const { host, subject, cause } = pause;
      // The other request may be of another tenant.
      const whose = subject === request.subject ? '' : ' to another request of this node';
      throw refuse(
        request,
        pause,
        until,
        `${host} is not asked before ${formatTime(until)}, because of its answer${whose}: ${cause.message}`,
      );
    },
    toError(request, thrown) {
      const { host, subject } = request;
      const { afterMs } = thrown;
      const waitMs = afterMs <= shortPauseMs ? afterMs : Math.min(afterMs, longestMs);
      const kind = waitMs < afterMs ? 'too-long' : afterMs > shortPauseMs ? 'long' : 'short';
      const now = clock.now();
      const times = { since: now, until: now + waitMs, spreadMs: spreadMs(waitMs), salt: clock.random() };
      const pause: HostPause = { host, subject, kind, cause: thrown, ...times };
      if (pauses.size >= mostPauses) pauses.clear();
      pauses.set(toKey(request), pause);
      const until = untilOf(pause, subject);
      if (kind === 'short') return refuse(request, pause, until, thrown.message);
      const asked =
        afterMs === longestWaitMs
          ? 'for a year or longer'
          : `until ${formatTime(now + afterMs)}${kind === 'too-long' ? ` (${formatWait(afterMs)})` : ''}`;
      const again =
        kind === 'too-long' ? `; it is asked again at ${formatTime(until)}, by --retry-after-max` : '';
      const error = refuse(request, pause, until, `${thrown.message}; ${host} asks to wait ${asked}${again}`);
      onRetry({ subject, reason: error.message, waitMs: until - now });
      return error;
    },
    answered(request) {
      waits.delete(toKey(request, request.subject));
    },
    problems() {
      const now = clock.now();
      const open = [...pauses.values()].filter(pause => lasts(pause, now)).slice(0, mostProblems);
      return open.map(
        ({ host, until, subject, cause }) =>
          `${host} is not asked before ${formatTime(until)}, because of its answer to ${subject}: ${cause.message}`,
      );
    },
  };
}

/** Another time for each request, and the same one whenever it comes again. */
function untilOf({ until, spreadMs, salt }: HostPause, subject: string): number {
  const share = Number.parseInt(hash('sha256', `${salt} ${subject}`).slice(0, 8), 16) / 2 ** 32;
  return Math.floor(until + share * spreadMs);
}

function toKey({ host, secret }: PausedRequest, subject?: string): string {
  return hash('sha256', JSON.stringify([host, secret, subject]));
}
