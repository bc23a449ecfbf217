import type { Digest } from '../../oci/digest.ts';
import { parseReference, type Reference } from '../../oci/reference.ts';
import type { NameRecord } from '../../ports/records.ts';

/** A name of the cache, with the digests that it needs. */
export type IndexedName = NameRecord & { readonly parsed: Reference };

/** The names of the cache in memory, also by the digests that they reach. */
export type NameIndex = {
  /** Takes the present record of a name; undefined removes it. */
  set(reference: string, record: NameRecord | undefined): void;
  find(reference: string): IndexedName | undefined;
  reaching(digest: Digest): ReadonlySet<IndexedName>;
  /** Those of now: what changes later does not lengthen the lists. */
  names(): readonly IndexedName[];
  digests(): readonly Digest[];
};

const none: ReadonlySet<IndexedName> = new Set();

export function createNameIndex(): NameIndex {
  const names = new Map<string, IndexedName>();
  const reached = new Map<Digest, Set<IndexedName>>();

  const remove = (name: IndexedName): void => {
    names.delete(name.reference);
    for (const digest of name.holds) {
      const others = reached.get(digest);
      others?.delete(name);
      if (others?.size === 0) reached.delete(digest);
    }
  };

  return {
    set(reference, record) {
      const before = names.get(reference);
      if (before !== undefined) remove(before);
      const parsed = record && parseReference(reference);
      if (record === undefined || parsed?.kind !== 'full') return;
      const name = { ...record, parsed: parsed.reference };
      names.set(reference, name);
      for (const digest of name.holds) reached.set(digest, (reached.get(digest) ?? new Set()).add(name));
    },
    find: reference => names.get(reference),
    reaching: digest => reached.get(digest) ?? none,
    names: () => [...names.values()],
    digests: () => [...reached.keys()],
  };
}
