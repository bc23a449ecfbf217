import { ArtifactError, findCause } from '../../util/error.ts';
import { createRecall } from '../../util/memo.ts';
import { formatTime, lasts, type Pause, Paused, spreadMs } from '../../util/pause.ts';
import type { Upstream } from '../config/route.ts';
import { type Clock, StalledError } from '../http/retry.ts';

/** The times for which registries are not asked for blobs, because a mirror with a `wait` may still get them. */
export type OriginWindows = {
  /** Returns until when the registry is not asked for a blob that a mirror failed to send; undefined if it may be. */
  after(mirror: Upstream, failure: ArtifactError): Pause | undefined;
  /** Which registries are not asked now, one line each. */
  problems(): readonly string[];
};

type OriginWindow = { readonly mirror: Upstream; readonly until: number; missedAt: number };

/** After so long without a miss, and as long as the mirror may take, the next one opens another window. */
const forgottenMs = 600_000;
/** Far above the repositories that a node pulls from at a time. */
const mostWindows = 1_000;
const mostProblems = 10;

/**
 * One window for each repository of a mirror: all its blobs count from the first one that the mirror did not have, so
 * that a pull waits once, however many layers it has. A window that has ended stays so while blobs are missed.
 */
export function openOriginWindows(clock: Pick<Clock, 'now' | 'random'>): OriginWindows {
  const windows = createRecall<string, OriginWindow>(mostWindows);

  return {
    after(mirror, failure) {
      const { host, path, mirrorOf, waitMs, responseMs = 0 } = mirror;
      if (waitMs === undefined || mirrorOf === undefined || !mayGetIt(failure)) return undefined;
      const key = `${host}/${path} ${mirrorOf}`;
      const now = clock.now();
      const before = windows.get(key);
      const since = before?.missedAt ?? 0;
      const isOld =
        before === undefined || !lasts({ since, until: since + waitMs + responseMs + forgottenMs }, now);
      const until = isOld ? now + waitMs + Math.floor(clock.random() * spreadMs(waitMs)) : before.until;
      windows.keep(key, { mirror, until, missedAt: now });
      if (until <= now) return undefined;
      return {
        until,
        reason: `mirror ${host} has it not yet; ${mirrorOf} is asked from ${formatTime(until)} on`,
      };
    },
    problems() {
      const now = clock.now();
      const isOpen = ({ missedAt: since, until }: OriginWindow): boolean => lasts({ since, until }, now);
      const open = windows.values().filter(isOpen).slice(0, mostProblems);
      return open.map(
        ({ mirror: { host, path, mirrorOf }, until }) =>
          `${mirrorOf} is not asked before ${formatTime(until)} for blobs of ${host}/${path} that this mirror has not yet, by its wait`,
      );
    },
  };
}

/** A mirror that has it not, is silent or asks to wait may get it. One that is dead, fails or lies will not. */
function mayGetIt(failure: ArtifactError): boolean {
  const mayCome = findCause(failure, StalledError) ?? findCause(failure, Paused);
  return failure.code === 'not-found' || mayCome !== undefined;
}
