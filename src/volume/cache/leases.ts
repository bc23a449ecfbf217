/**
 * Leases: what is in use right now, by digest, view or name, and must not be collected. Whoever writes a record that holds
 * digests leases them until it is written, so that there is no instant in which nothing holds them. Holding waits for a
 * removal of the same thing that is under way; a removal never waits for a hold, it leaves the thing alone.
 */
export type Leases = {
  hold(ids: readonly string[]): Promise<Disposable>;
  /** Runs the removal unless something holds the id. Returns whether it ran. */
  remove(id: string, removal: () => Promise<void>): Promise<boolean>;
  /**
   * Notes what is held now and from now on. A sweep opens one before it reads the records, and removes nothing that was
   * held since: a record may have been written meanwhile.
   */
  watch(): Watch;
};

export type Watch = Disposable & {
  /** Whether the id is held, or was since the watch began. */
  saw(id: string): boolean;
};

/** The id under which a view is held. */
export function viewId(key: string): string {
  return `view:${key}`;
}

/** The id under which a name is held. */
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
