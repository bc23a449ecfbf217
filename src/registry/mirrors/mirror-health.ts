import { type ArtifactError, findCause } from '../../util/error.ts';
import { createBackoffs } from '../../util/pause.ts';
import type { Upstream } from '../config/route.ts';
import { type Clock, SizeError, UnreachableError } from '../http/retry.ts';

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

/**
 * A mirror that fails is skipped for a backoff. An answer resets it. A missing digest does not affect other digests. A
 * refused credential does not affect other callers and repositories, and neither does another size than that of the
 * descriptor, because anybody can write a manifest with a wrong size. What it sends may be that of the registry that it
 * mirrors: if it is reached, it is skipped for that registry alone, because anybody can name one that fails, or sends
 * mirrors other bytes than nodes.
 */
export function openMirrorHealth(clock: Clock, onRest: OnRest): MirrorHealth {
  const backoffs = createBackoffs(clock);
  const forAsker = ({ host, path }: Upstream, asker: string): string => `${host}/${path} ${asker}`;
  const forRegistry = ({ host, mirrorOf = '' }: Upstream): string => `${host} ${mirrorOf}`;

  function rest(key: string, { host }: Upstream, failure: ArtifactError): void {
    const begun = backoffs.begin(key, failure);
    if (begun !== undefined) onRest({ mirror: host, reason: failure.message, restMs: begun.ms });
  }

  return {
    against(mirror, asker) {
      const keys = [mirror.host, forRegistry(mirror), forAsker(mirror, asker)];
      return keys.map(backoffs.of).find(backoff => backoff !== undefined)?.failure;
    },
    good(mirror) {
      for (const key of [mirror.host, forRegistry(mirror)]) backoffs.reset(key);
    },
    bad(mirror, asker, failure) {
      switch (failure.code) {
        case 'not-found':
        case 'unmountable':
          return;
        case 'unauthenticated':
        case 'denied':
          return rest(forAsker(mirror, asker), mirror, failure);
        default:
          if (findCause(failure, SizeError) !== undefined)
            return rest(forAsker(mirror, asker), mirror, failure);
          return rest(
            findCause(failure, UnreachableError) === undefined ? forRegistry(mirror) : mirror.host,
            mirror,
            failure,
          );
      }
    },
  };
}
