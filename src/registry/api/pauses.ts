import { hash } from 'node:crypto';
import { type Credential, secretOf } from '../../oci/credential.ts';
import { ArtifactError } from '../../util/error.ts';
import { formatTime, Paused } from '../../util/pause.ts';
import type { Exchange } from '../api/exchange.ts';
import { type Clock, longestWaitMs, type OnRetry, TransientError } from '../http/retry.ts';

/** Waits up to this many milliseconds happen at once: they are hardly longer than an attempt. */
const shortMs = 5_000;
/** Far above the registries and credentials of a node that ask to wait at a time. */
const kept = 1_000;

/**
 * Obeys Retry-After (RFC 9110, 10.2.3): a host is not asked again with the same credential before the time, for any
 * request. A token server counts for its registry. A wait longer than `longestMs` fails at once, and the host is asked
 * again after `longestMs`.
 *
 * @throws as Exchange; Paused if the caller must wait.
 */
export function obeyPauses(exchange: Exchange, clock: Clock, longestMs: number, onRetry: OnRetry): Exchange {
  const pauses = new Map<string, { readonly until: number; readonly error: ArtifactError }>();

  return async (question, accept, signal) => {
    const { upstream, credential } = question;
    const key = toKey(upstream.host, credential);
    const pause = pauses.get(key);
    if (pause !== undefined && pause.until > clock.now()) throw pause.error;
    pauses.delete(key);
    try {
      return await exchange(question, accept, signal);
    } catch (thrown) {
      if (!(thrown instanceof TransientError) || thrown.afterMs <= shortMs) throw thrown;
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
      onRetry({
        subject: question.subject,
        reason: error.message,
        waitMs: Math.min(thrown.afterMs, longestMs),
      });
      pauses.set(key, { until: Math.min(until, clock.now() + longestMs), error });
      throw error;
    }
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
