import { createFairQueue, type Lane, type Shares } from './fair-queue.ts';
import type { Tenants } from './tenants.ts';

/** Slots that tenants share fairly (fair-queue.ts). */
export type FairSlots = {
  /**
   * Waits for a slot at a registry, on behalf of any of the work's tenants. Disposing it returns the
   * slot.
   *
   * @throws the signal's reason.
   */
  acquire(registry: string, tenants: Tenants, signal: AbortSignal): Promise<Disposable>;
};

export function createFairSlots(shares: Shares): FairSlots {
  const queue = createFairQueue<(lane: Lane) => void>(shares);

  const serve = (): void => {
    for (let served = queue.next(); served !== undefined; served = queue.next()) served.item(served.lane);
  };

  const toSlot = (lane: Lane): Disposable => {
    let held = true;
    return {
      [Symbol.dispose]() {
        if (!held) return;
        held = false;
        queue.release(lane);
        serve();
      },
    };
  };

  return {
    async acquire(registry, tenants, signal) {
      signal.throwIfAborted();
      const turn = Promise.withResolvers<Lane>();
      let waits = true;
      const take = (lane: Lane): void => {
        waits = false;
        turn.resolve(lane);
      };
      const leave = (): void => {
        if (!waits) return;
        waits = false;
        queue.remove(take);
        turn.reject(signal.reason);
      };
      let all = false;
      using _ = tenants.each(tenant => {
        if (!waits) return;
        queue.add(take, { tenant, registry });
        if (all) serve();
      });
      all = true;
      serve();
      signal.addEventListener('abort', leave);
      try {
        return toSlot(await turn.promise);
      } finally {
        signal.removeEventListener('abort', leave);
      }
    },
  };
}
