/**
 * For whom a piece of work is done. More may join while it is under way, and then it is done for all of them; who gave
 * up waiting still counts, since it often comes back.
 */
export type Tenants = {
  join(tenant: string): void;
  /** Hears of each of them, those of now and those who join later, until it is disposed. */
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
      // Two may listen by one function; a set of them must not.
      const listener = (tenant: string): void => onTenant(tenant);
      listeners.add(listener);
      for (const member of members) onTenant(member);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
  };
}
