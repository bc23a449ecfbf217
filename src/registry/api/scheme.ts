import { ArtifactError } from '../../util/error.ts';
import { TransientError } from '../http/retry.ts';
import type { Upstream } from '../config/upstream.ts';

/** One try at an origin (`https://host:port`). It calls `answered` once anything at all has answered. */
type Attempt<T> = (origin: string, answered: () => void) => Promise<T>;

/** Chooses between https and http. */
export type Schemes = {
  reach<T>(place: Upstream, attempt: Attempt<T>, signal: AbortSignal): Promise<T>;
};

/**
 * A place is reached by its scheme if it has one. A secure one is https; an insecure one is tried by https, then by http; what answered is remembered for its host
 * until it no longer does.
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
