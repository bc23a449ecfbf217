import { type ArtifactError, findCause } from '../../util/error.ts';
import { lasts } from '../../util/pause.ts';
import type { Upstream } from '../config/route.ts';
import { type Clock, UnreachableError } from '../http/retry.ts';

/** Called when a mirror is skipped from now on, with the time and the reason. */
export type OnRest = (rest: {
  readonly mirror: string;
  readonly reason: string;
  readonly restMs: number;
}) => void;

/** The mirrors that are in backoff. */
export type MirrorHealth = {
  /** Returns the failure for which this caller skips a mirror now; undefined if it does not. */
  against(mirror: Upstream, asker: string): ArtifactError | undefined;
  good(mirror: Upstream): void;
  bad(mirror: Upstream, asker: string, failure: ArtifactError): void;
};

const firstRestMs = 30_000;
const longestRestMs = 600_000;
/** More than a node asks within a backoff. */
const kept = 10_000;

/**
 * A mirror that fails is skipped for 30 s, and for twice as long each time it fails again, up to 10 min. An answer
 * resets it. A missing digest does not affect other digests. A refused credential does not affect other callers and
 * repositories. What it sends may be that of the registry that it mirrors: if it is reached, it is skipped for that
 * registry alone, because anybody can name one that fails, or sends mirrors other bytes than nodes.
 */
export function openMirrorHealth(clock: Clock, onRest: OnRest): MirrorHealth {
  const rests = new Map<
    string,
    { readonly since: number; readonly until: number; readonly ms: number; readonly failure: ArtifactError }
  >();
  const forAsker = ({ host, path }: Upstream, asker: string): string => `${host}/${path} ${asker}`;
  const forRegistry = ({ host, mirrorOf = '' }: Upstream): string => `${host} ${mirrorOf}`;

  function rest(key: string, mirror: string, failure: ArtifactError): void {
    const before = rests.get(key);
    // Requests that were in progress when it failed do not count as further failures.
    const since = clock.now();
    if (before !== undefined && lasts(before, since)) return;
    const ms = Math.min(2 * (before?.ms ?? firstRestMs / 2), longestRestMs);
    if (rests.size >= kept) rests.clear();
    rests.set(key, { since, until: since + ms, ms, failure });
    onRest({ mirror, reason: failure.message, restMs: ms });
  }

  return {
    against(mirror, asker) {
      const keys = [mirror.host, forRegistry(mirror), forAsker(mirror, asker)];
      return keys.map(key => rests.get(key)).find(found => found !== undefined && lasts(found, clock.now()))
        ?.failure;
    },
    good(mirror) {
      for (const key of [mirror.host, forRegistry(mirror)]) rests.delete(key);
    },
    bad(mirror, asker, failure) {
      switch (failure.code) {
        case 'not-found':
        case 'unmountable':
          return;
        case 'unauthenticated':
        case 'denied':
          return rest(forAsker(mirror, asker), mirror.host, failure);
        default:
          return rest(
            findCause(failure, UnreachableError) === undefined ? forRegistry(mirror) : mirror.host,
            mirror.host,
            failure,
          );
      }
    },
  };
}
