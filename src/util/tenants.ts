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
