import type { Digest } from '../oci/digest.ts';
import { formatReference } from '../oci/reference.ts';
import type { PrefetchEntry } from '../ports/prefetch.ts';
import type { Pins } from '../ports/records.ts';
import type { Expander } from '../ports/registry.ts';
import type { Naming } from './pull/naming.ts';

/** An entry of the list that is kept, and what its last pull found; undefined before. */
export type KeptEntry = { readonly entry: PrefetchEntry; readonly found?: FoundContent | undefined };

/** The full reference, what it resolved to, and every digest on the way to the view. */
export type FoundContent = {
  readonly reference: string;
  readonly digest: Digest;
  readonly holds: readonly Digest[];
};

/** Pins what the entries of the list need, and no more: entries of one reference share a pin. */
export type PrefetchPins = {
  /** Pins what an entry has found. `kept` are all entries, with this one. */
  add(found: FoundContent, kept: readonly KeptEntry[]): Promise<void>;
  /**
   * Ends the pins of entries that are no longer kept, and of content that only those needed. Returns the entries that
   * have no pin.
   */
  compare<Entry extends KeptEntry>(kept: readonly Entry[]): Promise<readonly Entry[]>;
};

export function createPrefetchPins(world: {
  readonly naming: Pick<Naming, 'keep' | 'unpin'>;
  readonly pins: Pick<Pins, 'list'>;
  readonly expander: Expander;
}): PrefetchPins {
  const { naming, pins, expander } = world;

  /** The full references that the entry may resolve to. */
  const namesOf = ({ entry }: KeptEntry): readonly string[] => {
    try {
      return expander.expand(entry.artifact.reference).map(formatReference);
    } catch {
      return []; // its pull says why
    }
  };

  const keep = async (reference: string, digest: Digest, sharers: readonly KeptEntry[]): Promise<void> => {
    const known = sharers.flatMap(({ found }) => found ?? []);
    const meant = known.filter(found => found.reference === reference && found.digest === digest);
    if (meant.length === 0) return;
    const holds = [...new Set(meant.flatMap(found => found.holds))];
    // After a restart, the pin alone knows what the entries need that have not been pulled again.
    await naming.keep(reference, digest, holds, known.length === sharers.length);
  };

  return {
    add: ({ reference, digest }, kept) =>
      keep(
        reference,
        digest,
        kept.filter(entry => namesOf(entry).includes(reference)),
      ),
    async compare(kept) {
      const all = await pins.list();
      const pinned = new Set(all.map(({ reference }) => reference));
      const sharers = Map.groupBy(
        kept.flatMap(entry => namesOf(entry).map(name => ({ entry, name }))),
        ({ name }) => name,
      );
      for (const { reference, digest, by } of all) {
        if (by !== 'prefetch') continue;
        const entries = sharers.get(reference)?.map(({ entry }) => entry);
        if (entries === undefined) await naming.unpin(reference, by);
        else await keep(reference, digest, entries);
      }
      return kept.filter(entry => !namesOf(entry).some(name => pinned.has(name)));
    },
  };
}
