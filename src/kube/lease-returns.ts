import type { NodeLease } from '../ports/kube-objects.ts';

/** Leases that this node no longer needs and could not give back yet. */
export type LeaseReturns = {
  add(lease: NodeLease): void;
  /** It has been taken again, or is another node's. */
  forget(lease: NodeLease): void;
  all(): readonly NodeLease[];
  /** Tries the one that has been due for longest, if one is. Whether it was given back. Never rejects. */
  tryNext(signal: AbortSignal): Promise<boolean>;
};

/** After which a return is tried again: the first wait, which doubles with each, and the longest, ms. */
const [firstMs, longestMs] = [5_000, 600_000];
/** Others take those over that are forgotten. */
const mostKept = 256;

/** @param now milliseconds of a monotonic clock. */
export function createLeaseReturns(now: () => number): LeaseReturns {
  const waits = new Map<NodeLease, { readonly until: number; readonly ms: number }>();

  return {
    add(lease) {
      const [oldest] = waits.keys();
      if (oldest !== undefined && waits.size >= mostKept) waits.delete(oldest);
      waits.set(lease, { until: now() + firstMs, ms: firstMs });
    },
    forget: lease => void waits.delete(lease),
    all: () => [...waits.keys()],
    async tryNext(signal) {
      const [next] = [...waits].toSorted(([, a], [, b]) => a.until - b.until);
      if (next === undefined || now() < next[1].until) return false;
      const [lease, { ms }] = next;
      try {
        await lease.release(signal);
        waits.delete(lease);
        return true;
      } catch {
        const longer = Math.min(longestMs, ms * 2);
        waits.set(lease, { until: now() + longer, ms: longer });
        return false;
      }
    },
  };
}
