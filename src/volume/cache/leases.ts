/**
 * Leases protect what is in use, by digest, view or name, from garbage collection. Whoever writes a record of digests
 * leases them until it is written, so that they are protected at every instant. Taking a lease waits for a removal of
 * the same id in progress. A removal never waits for a lease: it skips the id.
 */
export type Leases = {
  hold(ids: readonly string[]): Promise<Disposable>;
  /** Runs the removal unless the id is leased. Returns whether it ran. */
  remove(id: string, removal: () => Promise<void>): Promise<boolean>;
  /**
   * Records leases from now on, including those in force. A sweep opens a watch before it reads the records, and
   * removes nothing that was leased since, because a record may have been written meanwhile.
   */
  watch(): Watch;
};

export type Watch = Disposable & {
  /** Whether the id is leased, or was since the watch began. */
  saw(id: string): boolean;
};

/** The lease id of a view. */
export function viewId(key: string): string {
  return `view:${key}`;
}

/** The lease id of a name. */
export function nameId(reference: string): string {
  return `name:${reference}`;
}

export function createLeases(): Leases {
  const held = new Map<string, number>();
  const removals = new Map<string, Promise<void>>();
  const watches = new Set<Set<string>>();

  const add = (id: string, by: number): void => {
    const count = (held.get(id) ?? 0) + by;
    if (count > 0) held.set(id, count);
    else held.delete(id);
  };

  return {
    async hold(ids) {
      const unique = [...new Set(ids)];
      for (const id of unique) {
        add(id, 1);
        for (const seen of watches) seen.add(id);
      }
      for (const id of unique) {
        const removal = removals.get(id);
        if (removal !== undefined) await removal.catch(() => undefined);
      }
      let released = false;
      return {
        [Symbol.dispose]() {
          if (released) return;
          released = true;
          for (const id of unique) add(id, -1);
        },
      };
    },
    async remove(id, removal) {
      if (held.has(id) || removals.has(id)) return false;
      const running = removal().finally(() => removals.delete(id));
      removals.set(id, running);
      await running;
      return true;
    },
    watch() {
      const seen = new Set(held.keys());
      watches.add(seen);
      return {
        saw: id => seen.has(id),
        [Symbol.dispose]: () => void watches.delete(seen),
      };
    },
  };
}

/**
 * Names that were requested a short while ago. Their content may still be on its way, so that it is not in the cache
 * yet.
 */
export type Recency = {
  note(name: string): void;
  has(name: string): boolean;
};

/** Milliseconds. Longer than a request for a manifest may take. */
const whileMs = 10 * 60_000;

export function createRecency(): Recency {
  /** Oldest first. */
  const since = new Map<string, number>();
  const forgetOld = (): void => {
    for (const [name, at] of since) {
      if (Date.now() - at < whileMs) break;
      since.delete(name);
    }
  };
  return {
    note(name) {
      forgetOld();
      since.delete(name);
      since.set(name, Date.now());
    },
    has(name) {
      forgetOld();
      return since.has(name);
    },
  };
}
