import type { Digest } from '../../oci/digest.ts';
import type { NameRecord, Names } from '../../ports/records.ts';
import type { Blobs, Held, Layers, View, Views } from '../../ports/store.ts';
import type { FreedItem } from '../../ports/usecases.ts';
import { never } from '../../util/abortable.ts';
import { startPace } from '../../util/pace.ts';
import { type Leases, nameId, viewId, type Watch } from './leases.ts';
import { contentOf, type Roots } from './roots.ts';

/** A snapshot of the cache, and of what keeps its content. */
export type Picture = {
  readonly roots: Roots;
  readonly views: readonly View[];
  /** Blobs and unpacked layers. */
  readonly items: ReadonlyMap<Digest, Held>;
};

/** The removals of one sweep. Whatever was leased since its snapshot stays. */
export type Sweep = {
  /** Whether a root lists the digest. */
  isReached(digest: Digest): boolean;
  /** Removes a digest that no root reaches, and the views that were built of it. */
  dropDigest(digest: Digest): Promise<void>;
  /** Removes the blob of a layer that is also stored unpacked. */
  dropSource(digest: Digest): Promise<void>;
  /** Removes a view that no volume shows. */
  dropView(view: View): Promise<void>;
  /**
   * Ends a name, and removes the content that only it needed. A name whose own digest a volume or a pin needs keeps
   * that part of its list, because it can still be mounted.
   */
  endName(name: NameRecord): Promise<void>;
  readonly freed: {
    readonly manifests: ReadonlySet<Digest>;
    readonly bytes: number;
    readonly items: readonly FreedItem[];
  };
};

export type SweepWorld = {
  readonly blobs: Pick<Blobs, 'remove'>;
  readonly layers: Pick<Layers, 'has' | 'remove'>;
  readonly views: Pick<Views, 'remove'>;
  readonly names: Pick<Names, 'put' | 'remove'>;
  readonly leases: Pick<Leases, 'remove'>;
};

/** The same world for a dry run, which only reports what it would remove. */
export function untouched({ layers, leases }: SweepWorld): SweepWorld {
  const leave = async (): Promise<void> => undefined;
  return {
    blobs: { remove: leave },
    layers: { has: layers.has, remove: leave },
    views: { remove: leave },
    names: { put: leave, remove: leave },
    leases,
  };
}

export function createSweep(
  world: SweepWorld,
  { roots: { fixed, shown, names }, views, items: held }: Picture,
  since: Pick<Watch, 'saw'>,
): Sweep {
  const uses = countUses(names);
  const builtOf = groupByContent(views);
  const gone = new Set<string>();
  const items: FreedItem[] = [];
  const freed = { manifests: new Set<Digest>(), bytes: 0, items };
  const isReached = (digest: Digest): boolean => fixed.has(digest) || uses.has(digest);

  const pace = startPace(never);
  const remove = async (id: string, removal: () => Promise<void>): Promise<boolean> => {
    await pace(); // small removals alone would never yield
    return !since.saw(id) && world.leases.remove(id, removal);
  };

  const dropView = async ({ key, manifest }: View): Promise<void> => {
    if (shown.has(key) || gone.has(key)) return;
    if (!(await remove(viewId(key), () => world.views.remove(key)))) return;
    gone.add(key);
    if (!isReached(manifest)) freed.manifests.add(manifest);
  };

  /** Answers what it removed, or would remove in a dry run. */
  const drop = async (digest: Digest): Promise<readonly FreedItem[]> => {
    if (isReached(digest) || since.saw(digest)) return [];
    for (const view of builtOf.get(digest) ?? []) await dropView(view);
    const item = held.get(digest);
    if (item === undefined) return [];
    const isGone = await remove(digest, async () => {
      await world.layers.remove(digest);
      await world.blobs.remove(digest);
      freed.bytes += item.bytes;
    });
    return isGone ? [{ digest, bytes: item.bytes }] : [];
  };

  return {
    isReached,
    dropView,
    dropDigest: async digest => void items.push(...(await drop(digest))),
    async dropSource(digest) {
      await remove(digest, async () => {
        if (await world.layers.has(digest)) await world.blobs.remove(digest);
      });
    },
    freed,
    async endName(name) {
      const { reference, descriptor, holds } = name;
      const left = holds.filter(digest => fixed.has(digest));
      if (left.length === holds.length) return; // nothing would change
      const goesOn = fixed.has(descriptor.digest);
      const isEnded = await remove(nameId(reference), () =>
        goesOn ? world.names.put({ ...name, holds: left }) : world.names.remove(reference),
      );
      if (!isEnded) return;
      for (const digest of new Set(holds)) {
        const others = (uses.get(digest) ?? 0) - 1;
        if (others > 0) uses.set(digest, others);
        else uses.delete(digest);
      }
      const dropped: FreedItem[] = [];
      for (const digest of holds) dropped.push(...(await drop(digest)));
      if (goesOn) items.push(...dropped);
      else items.push({ reference, digest: descriptor.digest, bytes: sumOf(dropped) });
    },
  };
}

function sumOf(items: readonly FreedItem[]): number {
  return items.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** How many names list each digest. */
function countUses(names: readonly NameRecord[]): Map<Digest, number> {
  const uses = new Map<Digest, number>();
  for (const { holds } of names)
    for (const digest of new Set(holds)) uses.set(digest, (uses.get(digest) ?? 0) + 1);
  return uses;
}

function groupByContent(views: readonly View[]): Map<Digest, View[]> {
  const groups = new Map<Digest, View[]>();
  for (const view of views) {
    for (const digest of contentOf(view)) {
      const group = groups.get(digest);
      if (group === undefined) groups.set(digest, [view]);
      else group.push(view);
    }
  }
  return groups;
}
