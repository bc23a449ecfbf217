/** How long reads wait while no daemon is there. Times are in milliseconds, of one clock. */
export type HolderPatience = {
  came(now: number): void;
  left(now: number): void;
  /** Nothing waits any more. */
  reset(): void;
  /** What is left of the wait; undefined while a daemon is there, and before the first one. */
  remaining(now: number): number | undefined;
};

/** A daemon that ends again within this share of the patience does not prolong a wait: it may crash again and again. */
const shortLife = 0.1;

export function createHolderPatience(patienceMs: number): HolderPatience {
  let cameAt: number | undefined;
  let end: number | undefined;
  return {
    came(now) {
      cameAt = now;
    },
    left(now) {
      if (cameAt === undefined) return;
      if (end === undefined || now - cameAt >= patienceMs * shortLife) end = now + patienceMs;
      cameAt = undefined;
    },
    reset() {
      end = undefined;
    },
    remaining: now => (cameAt !== undefined || end === undefined ? undefined : Math.max(0, end - now)),
  };
}
