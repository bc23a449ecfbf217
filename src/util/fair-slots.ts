/**
 * The tenants of a piece of work. More may join while it runs, and then it is done for all of them. A tenant that
 * stopped waiting still counts, because it often comes back.
 */
export type Tenants = {
  join(tenant: string): void;
  /** Calls back for each of them, present and future, until it is disposed. */
  each(onTenant: (tenant: string) => void): Disposable;
};

export function openTenants(...first: readonly string[]): Tenants {
  const members = new Set(first);
  const listeners = new Set<(tenant: string) => void>();
  return {
    join(tenant) {
      if (members.has(tenant)) return;
      members.add(tenant);
      for (const listener of listeners) listener(tenant);
    },
    each(onTenant) {
      // Two listeners may be the same function, so this is not a set of functions.
      const listener = (tenant: string): void => onTenant(tenant);
      listeners.add(listener);
      for (const member of members) onTenant(member);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
  };
}

/** Slots that tenants share fairly, as `FairQueue` says. */
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
      if (!waits) return toSlot(await turn.promise);
      signal.addEventListener('abort', leave);
      try {
        return toSlot(await turn.promise);
      } finally {
        signal.removeEventListener('abort', leave);
      }
    },
  };
}

/** The number of slots, and the maximum for one tenant and for one tenant at one registry. */
export type Shares = {
  readonly total: number;
  readonly perTenant?: number;
  /** All tenants together have at most twice as many at one registry. */
  readonly perRegistry?: number;
};

/** Held slots and waiting items of a tenant at a registry. */
export type Lane = { readonly tenant: string; readonly registry: string };

/**
 * Decides who is next for slots that cannot be revoked. There are two rules. A tenant that holds as many as are free
 * gets no more, so however many one tenant wants and however long it keeps them, another finds some (one tenant gets at
 * most half, and n of them leave some for the next). Of the others, the tenant that holds the fewest is next, then the
 * one that was served longest ago. The same applies to the registries of one tenant.
 */
export type FairQueue<Item> = {
  /** An item waits in one lane or in several, until it is served or removed. */
  add(item: Item, lane: Lane): void;
  remove(item: Item): void;
  /** Gives a slot to the next item that may have one; undefined if there is none. */
  next(): { readonly item: Item; readonly lane: Lane } | undefined;
  /** Returns a slot of a lane. */
  release(lane: Lane): void;
};

type Party = { held: number; servedAt: number };
type Tenant<Item> = Party & { readonly lanes: Map<string, Party & { readonly waiting: Set<Item> }> };

export function createFairQueue<Item>({ total, perTenant, perRegistry }: Shares): FairQueue<Item> {
  const tenants = new Map<string, Tenant<Item>>();
  const registries = new Map<string, number>();
  /** The lanes of each item, so that it leaves all of them at once. */
  const lanesOf = new Map<Item, Lane[]>();
  let free = total;
  let turn = 0;

  const tenantOf = (name: string): Tenant<Item> =>
    getOrAdd(tenants, name, () => ({ held: 0, servedAt: 0, lanes: new Map() }));
  const laneOf = (tenant: Tenant<Item>, registry: string) =>
    getOrAdd(tenant.lanes, registry, () => ({ held: 0, servedAt: 0, waiting: new Set<Item>() }));

  /** Removes lanes without slots and items. */
  const forget = ({ tenant: name, registry }: Lane): void => {
    const tenant = tenants.get(name);
    const lane = tenant?.lanes.get(registry);
    if (lane?.held === 0 && lane.waiting.size === 0) tenant?.lanes.delete(registry);
    if (tenant?.lanes.size === 0) tenants.delete(name);
  };

  const mayServe = ({ held }: Party): boolean => held < Math.min(free, perTenant ?? total);

  const mayUse = (tenant: Party, registry: string, { held }: Party): boolean => {
    if (perRegistry === undefined) return true;
    // The share of the free slots that the tenant would get if nobody else took any.
    const left = Math.ceil((free - tenant.held) / 2);
    const leftThere = 2 * perRegistry - (registries.get(registry) ?? 0);
    return held < Math.min(perRegistry, left, leftThere);
  };

  const remove = (item: Item): void => {
    for (const lane of lanesOf.get(item) ?? []) {
      tenants.get(lane.tenant)?.lanes.get(lane.registry)?.waiting.delete(item);
      forget(lane);
    }
    lanesOf.delete(item);
  };

  /** Returns the next lane of a tenant, by its registry. */
  const chooseLane = (tenant: Tenant<Item>): string | undefined => {
    let best: { readonly registry: string; readonly lane: Party } | undefined;
    for (const [registry, lane] of tenant.lanes) {
      if (lane.waiting.size === 0 || !mayUse(tenant, registry, lane)) continue;
      if (best === undefined || compare(lane, best.lane) < 0) best = { registry, lane };
    }
    return best?.registry;
  };

  return {
    add(item, lane) {
      laneOf(tenantOf(lane.tenant), lane.registry).waiting.add(item);
      getOrAdd(lanesOf, item, () => []).push(lane);
    },
    remove,
    next() {
      let best: (Lane & { readonly party: Tenant<Item> }) | undefined;
      for (const [name, party] of tenants) {
        if (!mayServe(party) || (best !== undefined && compare(party, best.party) >= 0)) continue;
        const registry = chooseLane(party);
        if (registry !== undefined) best = { tenant: name, registry, party };
      }
      const lane = best?.party.lanes.get(best.registry);
      const [item] = lane?.waiting ?? [];
      if (best === undefined || lane === undefined || item === undefined) return undefined;
      const { tenant, registry } = best;
      free--;
      turn++;
      for (const party of [best.party, lane]) {
        party.held++;
        party.servedAt = turn;
      }
      registries.set(registry, (registries.get(registry) ?? 0) + 1);
      remove(item);
      return { item, lane: { tenant, registry } };
    },
    release(lane) {
      const tenant = tenantOf(lane.tenant);
      free++;
      tenant.held--;
      laneOf(tenant, lane.registry).held--;
      const there = (registries.get(lane.registry) ?? 0) - 1;
      if (there > 0) registries.set(lane.registry, there);
      else registries.delete(lane.registry);
      forget(lane);
    },
  };
}

/** Fewer slots come first, then the longest time since being served. */
function compare(a: Party, b: Party): number {
  return a.held - b.held || a.servedAt - b.servedAt;
}

function getOrAdd<Key, Value>(map: Map<Key, Value>, key: Key, create: () => Value): Value {
  const found = map.get(key);
  if (found !== undefined) return found;
  const created = create();
  map.set(key, created);
  return created;
}
