import type { PrefetchRow } from '../ports/prefetch.ts';

type Owned = Pick<PrefetchRow, 'entry'>;

/** An entry that waits for its turn. */
type Waiting = Owned & { readonly dueAt: number };

/** In which order entries that are due have their turns. */
export type PrefetchOrder = {
  /** The next one of those that are due. */
  choose<Item extends Waiting>(due: readonly Item[]): Item | undefined;
  /** Counts a turn, between two times, for which others have waited. */
  count(worked: Owned, others: readonly Waiting[], from: number, to: number): void;
};

/**
 * Priorities of the cluster order all entries. Of equal ones, the owners take turns: the node's list, the cluster, and
 * each namespace. The next turn has the owner that has kept others waiting for the least time, because turns differ in
 * length. Of its entries, those of a higher priority come first, and then the one that has been due for longest.
 */
export function createPrefetchOrder(): PrefetchOrder {
  /** By owner, ms. It counts as `least` if it is less, so that nobody saves time that was left to others. */
  const spent = new Map<string, number>();
  let least = 0;
  const spentBy = (owner: string): number => Math.max(least, spent.get(owner) ?? 0);

  return {
    choose(due) {
      const owners = [...Map.groupBy(due, ownerOf)].flatMap(([owner, items]) => {
        const next = firstOf(items, (a, b) => priorityOf(b) - priorityOf(a) || a.dueAt - b.dueAt);
        const since = items.reduce((first, { dueAt }) => Math.min(first, dueAt), Infinity);
        return next === undefined ? [] : [{ next, since, spent: spentBy(owner) }];
      });
      return firstOf(
        owners,
        (a, b) => reachOf(b.next) - reachOf(a.next) || a.spent - b.spent || a.since - b.since,
      )?.next;
    },
    count(worked, others, from, to) {
      if (reachOf(worked) > 0) return; // it has its turn by its priority
      const owner = ownerOf(worked);
      const since = others
        .filter(other => ownerOf(other) !== owner)
        .reduce((first, { dueAt }) => Math.min(first, dueAt), Infinity);
      least = spentBy(owner);
      spent.set(owner, least + Math.max(0, to - Math.max(from, since)));
      for (const [known, ms] of spent) if (ms <= least) spent.delete(known);
    },
  };
}

/** Whether an entry that works has to give way to another one that is due. */
export function givesWay(working: Owned, other: Owned): boolean {
  return ownerOf(working) === ownerOf(other)
    ? priorityOf(other) >= priorityOf(working)
    : reachOf(other) >= reachOf(working);
}

function firstOf<Item>(items: readonly Item[], compare: (a: Item, b: Item) => number): Item | undefined {
  return items.reduce<Item | undefined>(
    (first, item) => (first === undefined || compare(item, first) < 0 ? item : first),
    undefined,
  );
}

/** Who has turns of its own. The names of the others have a space, and those of namespaces have none. */
function ownerOf({ entry: { resource } }: Owned): string {
  return resource === undefined ? 'the list' : (resource.namespace ?? 'the cluster');
}

/** The priority among the entries of all. */
function reachOf(item: Owned): number {
  return item.entry.resource?.namespace === undefined ? priorityOf(item) : 0;
}

function priorityOf({ entry }: Owned): number {
  return entry.resource?.priority ?? 0;
}
