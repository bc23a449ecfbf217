import type { PullRequest } from '../../ports/request.ts';
import type { Progress, Wanter } from '../../ports/usecases.ts';
import type { ArtifactError } from '../../util/error.ts';
import type { Flight } from './single-flight.ts';
import { toWanter } from './wanter.ts';

/**
 * The calls for a pull that are in no flight: what they pull is not known before the registry has sent the manifest.
 * Each call waits for the registry itself, and is listed by its reference.
 */
export type PendingPulls = {
  open(request: PullRequest, onProgress: (progress: Progress) => void, signal: AbortSignal): PendingPull;
  list(): readonly Flight<Progress, Wanter>[];
};

/** One call, until it is disposed. */
export type PendingPull = Disposable & {
  /** Aborts with the caller's, and when the pull is cancelled. */
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
  /** Awaits a flight, which is listed in place of the call. */
  join<T>(flight: Promise<T>): Promise<T>;
};

type Pending = {
  readonly since: number;
  readonly who: Wanter;
  readonly ended: Promise<void>;
  readonly controller: AbortController;
  latest: Progress | undefined;
};

export function createPendingPulls(): PendingPulls {
  const all = new Set<Pending>();

  const toFlight = (calls: readonly Pending[]): Flight<Progress, Wanter> => ({
    since: calls.reduce((first, { since }) => Math.min(first, since), Number.POSITIVE_INFINITY),
    latest: calls.find(({ latest }) => latest?.waits !== undefined)?.latest ?? calls[0]?.latest,
    wanters: calls.map(({ who }) => who),
    async cancel(reason: ArtifactError) {
      for (const { controller } of calls) controller.abort(reason);
      await Promise.all(calls.map(({ ended }) => ended));
    },
  });

  return {
    open(request, onProgress, signal) {
      const { promise: ended, resolve: end } = Promise.withResolvers<void>();
      const controller = new AbortController();
      const call: Pending = {
        since: Date.now(),
        who: toWanter(request),
        ended,
        controller,
        latest: undefined,
      };
      all.add(call);
      return {
        signal: AbortSignal.any([signal, controller.signal]),
        onProgress(progress) {
          call.latest = progress;
          onProgress(progress);
        },
        join(flight) {
          all.delete(call);
          return flight.finally(() => all.add(call));
        },
        [Symbol.dispose]() {
          all.delete(call);
          end();
        },
      };
    },
    list: () => [...Map.groupBy(all, ({ who }) => who.reference).values()].map(toFlight),
  };
}
