/**
 * What is in use right now, by digest or view key, and must not be collected. Holding waits for a removal of the same
 * thing that is under way; a removal never waits for a hold, it leaves the thing alone.
 */
export type Holds = {
  hold(ids: readonly string[]): Promise<Disposable>;
  /** Runs the removal unless something holds the id. Returns whether it ran. */
  remove(id: string, removal: () => Promise<void>): Promise<boolean>;
  isHeld(id: string): boolean;
};

/** The id under which a view is held. */
export function viewId(key: string): string {
  return `view:${key}`;
}

export function createHolds(): Holds {
  const held = new Map<string, number>();
  const removals = new Map<string, Promise<void>>();

  const add = (id: string, by: number): void => {
    const count = (held.get(id) ?? 0) + by;
    if (count > 0) held.set(id, count);
    else held.delete(id);
  };

  return {
    async hold(ids) {
      const unique = [...new Set(ids)];
      for (const id of unique) add(id, 1);
      for (const id of unique) await removals.get(id)?.catch(() => undefined);
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
    isHeld: id => held.has(id),
  };
}
