import type { KubeObjects } from '../ports/kube-objects.ts';
import { isObject } from '../util/json.ts';

export type LeaseClient = Pick<KubeObjects, 'get' | 'create' | 'replace' | 'remove'>;

/** Counts the requests of a node for Leases. */
export type CountedLeases = {
  readonly client: LeaseClient;
  /** When all requests so far have had their time, by the clock of this node. */
  readyAt(): number;
  /** Who had the Lease that was read last; empty if nobody had. */
  holder(): string;
};

/** @param requestMs the time of one request, in milliseconds. @param now milliseconds of a monotonic clock. */
export function countLeases(objects: LeaseClient, requestMs: number, now: () => number): CountedLeases {
  let readyAt = 0;
  let holder = '';
  const count = (): void => {
    readyAt = Math.max(readyAt, now()) + requestMs;
  };
  return {
    client: {
      async get(...asked) {
        count();
        holder = '';
        const found = await objects.get(...asked);
        holder = holderOf(found);
        return found;
      },
      async create(...asked) {
        count();
        return await objects.create(...asked);
      },
      async replace(...asked) {
        count();
        return await objects.replace(...asked);
      },
      async remove(...asked) {
        count();
        await objects.remove(...asked);
      },
    },
    readyAt: () => readyAt,
    holder: () => holder,
  };
}

function holderOf(lease: unknown): string {
  const spec = isObject(lease) ? lease['spec'] : undefined;
  const name = isObject(spec) ? spec['holderIdentity'] : undefined;
  return typeof name === 'string' ? name : '';
}
