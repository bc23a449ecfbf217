import { hash } from 'node:crypto';
import { type Credential, secretOf } from '../../oci/credential.ts';
import { ArtifactError } from '../../util/error.ts';
import { formatTime, Paused } from '../../util/pause.ts';
import type { Upstream } from '../config/upstream.ts';
import { type Clock, longestWaitMs, type OnRetry, TransientError } from '../http/retry.ts';

/** Waits up to this many milliseconds happen at once: they are hardly longer than an attempt. */
const shortMs = 5_000;
/** Far above the registries and credentials of a node that ask to wait at a time. */
const kept = 1_000;

/** The hosts that ask to wait. */
export type Pauses = {
  /** @throws Paused if the caller must wait; ArtifactError `unavailable` if that is too long. */
  verify(request: PausedRequest): void;
  /** Returns the error of a request that failed: a pause if the host asks to wait. */
  toError(request: PausedRequest, thrown: unknown): unknown;
};

type PausedRequest = {
  readonly upstream: Upstream;
  readonly credential: Credential;
  readonly subject: string;
};

/**
 * Obeys Retry-After (RFC 9110, 10.2.3): a host is not asked again with the same credential before the time, for any
 * request. A token server counts for its registry. A wait longer than `longestMs` fails at once, and the host is asked
 * again after `longestMs`.
 */
export function openPauses(clock: Pick<Clock, 'now'>, longestMs: number, onRetry: OnRetry): Pauses {
  const pauses = new Map<string, { readonly until: number; readonly error: ArtifactError }>();

  return {
    verify({ upstream, credential }) {
      const key = toKey(upstream.host, credential);
      const pause = pauses.get(key);
      if (pause !== undefined && pause.until > clock.now()) throw pause.error;
      pauses.delete(key);
    },
    toError({ upstream, credential, subject }, thrown) {
      if (!(thrown instanceof TransientError) || thrown.afterMs <= shortMs) return thrown;
      const until = clock.now() + thrown.afterMs;
      const asks = `${thrown.message}; ${upstream.host} asks to wait`;
      const long =
        thrown.afterMs === longestWaitMs
          ? 'for a year or longer, which is'
          : `until ${formatTime(until)}, which is ${formatSeconds(thrown.afterMs)} and`;
      const error =
        thrown.afterMs <= longestMs
          ? new Paused({ host: upstream.host, until }, `${asks} until ${formatTime(until)}`, thrown)
          : new ArtifactError(
              'unavailable',
              `${asks} ${long} more than --retry-after-max; have its operators lower that, or raise the flag`,
              thrown,
            );
      if (pauses.size >= kept) pauses.clear();
      onRetry({ subject, reason: error.message, waitMs: Math.min(thrown.afterMs, longestMs) });
      pauses.set(toKey(upstream.host, credential), {
        until: Math.min(until, clock.now() + longestMs),
        error,
      });
      return error;
    },
  };
}

function toKey(host: string, credential: Credential): string {
  return hash('sha256', JSON.stringify([host, secretOf(credential)]));
}

function formatSeconds(ms: number): string {
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
