import { createKeyedMutex } from './mutex.ts';
import { openTenants, type Tenants } from './tenants.ts';

/** Work that several callers need is done by one at a time: the others wait, and find it done. */
export type SharedTurns = {
  /**
   * Waits for the turn of a key. Disposing it passes it to the next caller. Its tenants are those of all waiting
   * callers, so that no caller is delayed by the share of the one before it.
   *
   * @throws the signal's reason.
   */
  take(key: string, tenants: Tenants, signal: AbortSignal): Promise<SharedTurn>;
};

export type SharedTurn = Disposable & { readonly tenants: Tenants };

export function createSharedTurns(): SharedTurns {
  const mutex = createKeyedMutex();
  const crowds = new Map<string, { readonly tenants: Tenants; size: number }>();
  return {
    async take(key, own, signal) {
      using stack = new DisposableStack();
      const crowd = crowds.get(key) ?? { tenants: openTenants(), size: 0 };
      crowds.set(key, crowd);
      crowd.size++;
      stack.defer(() => {
        if (--crowd.size === 0) crowds.delete(key);
      });
      stack.use(own.each(crowd.tenants.join));
      stack.use(await mutex.lock(key, signal));
      const held = stack.move();
      return { tenants: crowd.tenants, [Symbol.dispose]: () => held.dispose() };
    },
  };
}
