/**
 * Leases protect what is in use, by digest, view or name, from garbage collection. Whoever writes a record of digests
 * leases them until it is written, so that they are protected at every instant. Taking a lease waits for a removal of
 * the same id in progress. A removal never waits for a lease: it skips the id.
 */
export type Leases = {
  /** A set, which must not change, is leased as a whole: it may have 20,000 ids. */
  hold(ids: ReadonlySet<string> | readonly string[]): Promise<Disposable>;
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
  const held = new Map<ReadonlySet<string>, number>();
  const removals = new Map<string, Promise<void>>();
  const watches = new Set<Seen>();

  const add = (group: ReadonlySet<string>, by: number): void => {
    const count = (held.get(group) ?? 0) + by;
    if (count > 0) held.set(group, count);
    else held.delete(group);
  };

  return {
    async hold(ids) {
      const group = ids instanceof Set ? ids : new Set(ids);
      add(group, 1);
      for (const seen of watches) seen.add(group);
      for (const [id, removal] of removals) if (group.has(id)) await removal.catch(() => undefined);
      let released = false;
      return {
        [Symbol.dispose]() {
          if (released) return;
          released = true;
          add(group, -1);
        },
      };
    },
    async remove(id, removal) {
      if (held.keys().some(group => group.has(id)) || removals.has(id)) return false;
      const running = removal().finally(() => removals.delete(id));
      removals.set(id, running);
      await running;
      return true;
    },
    watch() {
      const seen = createSeen();
      for (const group of held.keys()) seen.add(group);
      watches.add(seen);
      return { saw: seen.has, [Symbol.dispose]: () => void watches.delete(seen) };
    },
  };
}

/** Larger sets are kept as they are, so that a lease costs the same however many ids it has. */
const few = 8;

type Seen = { add(group: ReadonlySet<string>): void; has(id: string): boolean };

function createSeen(): Seen {
  const ids = new Set<string>();
  const groups = new Set<ReadonlySet<string>>();
  return {
    add(group) {
      if (group.size > few) groups.add(group);
      else for (const id of group) ids.add(id);
    },
    has: id => ids.has(id) || groups.values().some(group => group.has(id)),
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

/** @param now milliseconds of a clock that nobody sets. */
export function createRecency(now: () => number = () => performance.now()): Recency {
  /** Oldest first. */
  const since = new Map<string, number>();
  const forgetOld = (): void => {
    for (const [name, at] of since) {
      if (now() - at < whileMs) break;
      since.delete(name);
    }
  };
  return {
    note(name) {
      forgetOld();
      since.delete(name);
      since.set(name, now());
    },
    has(name) {
      forgetOld();
      return since.has(name);
    },
  };
}
