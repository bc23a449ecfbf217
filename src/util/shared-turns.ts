import { createKeyedMutex } from './mutex.ts';
import { openTenants, type Tenants } from './tenants.ts';

/** What is done by one at a time because several want the same: the others wait, and find it done. */
export type SharedTurns = {
  /**
   * Waits for the turn of a key. Disposing it gives it to the next. Its tenants are those of all who want it, so that
   * one who waits is not held up by the share of the one it waits for.
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
