import type { KubeObjects } from '../ports/kube-objects.ts';

/** Counts the requests of a node for Leases. */
export type CountedLeases = {
  readonly client: KubeObjects;
  /** When all requests so far have had their time, by the clock of this node. */
  readyAt(): number;
};

/** @param requestMs the time of one request, in milliseconds. @param now milliseconds of a monotonic clock. */
export function countLeases(objects: KubeObjects, requestMs: number, now: () => number): CountedLeases {
  let readyAt = 0;
  const count = (): void => {
    readyAt = Math.max(readyAt, now()) + requestMs;
  };
  return {
    client: {
      get(...asked) {
        count();
        return objects.get(...asked);
      },
      create(...asked) {
        count();
        return objects.create(...asked);
      },
      replace(...asked) {
        count();
        return objects.replace(...asked);
      },
      remove(...asked) {
        count();
        return objects.remove(...asked);
      },
    },
    readyAt: () => readyAt,
  };
}
