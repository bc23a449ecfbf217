import { openTenants, type Tenants } from './fair-slots.ts';

/** Locks by key within this process, in the order of requests. */
export type KeyedMutex = {
  /** Waits for the key. Disposing the lock passes it to the next caller. @throws the signal's reason. */
  lock(key: string, signal: AbortSignal): Promise<Disposable>;
  /** Returns the lock, or undefined if another caller holds it. */
  tryLock(key: string): Disposable | undefined;
};

export function createKeyedMutex(): KeyedMutex {
  const queues = new Map<string, (() => void)[]>();

  const release = (key: string): Disposable => {
    let held = true;
    return {
      [Symbol.dispose]() {
        if (!held) return;
        held = false;
        const next = queues.get(key)?.shift();
        if (next === undefined) queues.delete(key);
        else next();
      },
    };
  };

  return {
    tryLock(key) {
      if (queues.has(key)) return undefined;
      queues.set(key, []);
      return release(key);
    },
    async lock(key, signal) {
      signal.throwIfAborted();
      const queue = queues.get(key);
      if (queue === undefined) {
        queues.set(key, []);
        return release(key);
      }
      await waitTurn(queue, signal);
      return release(key);
    },
  };
}

/** Slots shared by all callers, granted in order. */
export type Semaphore = { acquire(signal: AbortSignal): Promise<Disposable> };

export function createSemaphore(slots: number): Semaphore {
  let free = slots;
  const queue: (() => void)[] = [];
  return {
    async acquire(signal) {
      signal.throwIfAborted();
      if (free > 0) free--;
      else await waitTurn(queue, signal);
      let held = true;
      return {
        [Symbol.dispose]() {
          if (!held) return;
          held = false;
          const next = queue.shift();
          if (next === undefined) free++;
          else next();
        },
      };
    },
  };
}

/** Slots for each key. */
export type KeyedSemaphore = { acquire(key: string, signal: AbortSignal): Promise<Disposable> };

export function createKeyedSemaphore(slots: number): KeyedSemaphore {
  const lanes = new Map<string, { readonly semaphore: Semaphore; users: number }>();
  return {
    async acquire(key, signal) {
      const lane = lanes.get(key) ?? { semaphore: createSemaphore(slots), users: 0 };
      lanes.set(key, lane);
      lane.users++;
      using stack = new DisposableStack();
      stack.defer(() => {
        if (--lane.users === 0) lanes.delete(key);
      });
      stack.use(await lane.semaphore.acquire(signal));
      const held = stack.move();
      return { [Symbol.dispose]: () => held.dispose() };
    },
  };
}

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

function waitTurn(queue: (() => void)[], signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const turn = (): void => {
      signal.removeEventListener('abort', leave);
      resolve();
    };
    const leave = (): void => {
      queue.splice(queue.indexOf(turn), 1);
      reject(signal.reason);
    };
    queue.push(turn);
    signal.addEventListener('abort', leave, { once: true });
  });
}
