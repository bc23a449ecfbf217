import { ArtifactError } from '../../util/error.ts';
import { TransientError } from '../http/retry.ts';
import type { Upstream } from '../config/upstream.ts';

/** One attempt at an origin (`https://host:port`). It calls `answered` once the server has sent anything. */
type Attempt<T> = (origin: string, answered: () => void) => Promise<T>;

/** Chooses between https and http. */
export type Schemes = {
  reach<T>(upstream: Upstream, attempt: Attempt<T>, signal: AbortSignal): Promise<T>;
};

/**
 * Uses the scheme of the upstream if it has one. A secure upstream is reached by https. An insecure one is tried by
 * https, then by http. The scheme that answered is remembered for the host until it fails.
 */
export function openSchemes(): Schemes {
  const known = new Map<string, 'https' | 'http'>();
  return {
    async reach({ host, insecure, scheme }, attempt, signal) {
      if (scheme !== undefined || !insecure) return await attempt(`${scheme ?? 'https'}://${host}`, () => {});
      let answered = false;
      const by = (scheme: 'https' | 'http') =>
        attempt(`${scheme}://${host}`, () => {
          answered = true;
          known.set(host, scheme);
        });
      const remembered = known.get(host);
      try {
        return await by(remembered ?? 'https');
      } catch (first) {
        if (answered || signal.aborted) throw first;
        known.delete(host);
        if (remembered !== undefined) throw first;
        try {
          return await by('http');
        } catch (second) {
          throw answered || signal.aborted ? second : both(first, second);
        }
      }
    },
  };
}

function both(first: unknown, second: unknown): unknown {
  if (!(first instanceof ArtifactError) || !(second instanceof ArtifactError)) return second;
  const message = `by https: ${first.message}; by http: ${second.message}`;
  return [first, second].some(failure => failure instanceof TransientError)
    ? new TransientError('unavailable', message, second)
    : new ArtifactError('unavailable', message, second);
}
