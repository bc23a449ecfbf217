import type { Digest } from '../oci/digest.ts';
import { parseManifest } from '../oci/manifest.ts';
import { createKeyedMutex } from '../util/mutex.ts';
import type { Authority } from './authority.ts';
import type { Mounter } from './contracts/mounter.ts';
import type { Complete, Names, PinRecord, VolumeRecord } from './contracts/records.ts';
import type { Blobs, Held, Layers, View, Views } from './contracts/store.ts';
import { viewId, type Holds } from './holds.ts';
import { findShowing } from './shown.ts';
import type { Signatures } from './signatures.ts';
import type { Freed } from './usecases.ts';

export type Collector = {
  /**
   * Removes what nothing uses, until `enough` says so: first what belongs to no view, then the views least recently
   * used, each with everything that only it held. Never what a volume's record, a mount, a pin or a hold needs.
   * `enough` is told the bytes of the cache, as they were at the start, without those that were freed since.
   */
  collect(enough: (cacheBytes: number) => Promise<boolean>, signal: AbortSignal): Promise<Freed>;
  /** Removes these views, and all that only they held, whatever room there is; those in use stay. */
  discard(keys: ReadonlySet<string>, signal: AbortSignal): Promise<Freed>;
  /** Bytes of blobs and unpacked layers. */
  cacheBytes(): Promise<number>;
};

export function createCollector(world: {
  readonly blobs: Blobs;
  readonly layers: Layers;
  readonly views: Views;
  readonly names: Names;
  readonly volumes: Complete<VolumeRecord>;
  readonly pins: Complete<PinRecord>;
  readonly signatures: Pick<Signatures, 'sweep'>;
  readonly authority: Pick<Authority, 'sweep'>;
  readonly mounter: Mounter;
  readonly holds: Holds;
  readonly viewsFolder: string;
}): Collector {
  const { blobs, layers, views, names, volumes, pins, signatures, authority, mounter, holds } = world;
  const oneAtATime = createKeyedMutex();

  /** The views that must stay, whatever their age. */
  const rooted = async (all: readonly View[]): Promise<ReadonlySet<string>> => {
    // One after the other: of several that cannot be read it is always the same that is told first.
    const records = await volumes.listAll();
    const pinned = await pins.listAll();
    const mounted = await mounter.list(world.viewsFolder);
    const keys = new Set(records.map(record => record.view));
    const digests = new Set(pinned.map(pin => pin.digest));
    for (const view of all) {
      const isShown = findShowing(mounted, view.path) !== undefined;
      if (isShown || digests.has(view.manifest) || view.blobs.some(digest => digests.has(digest)))
        keys.add(view.key);
    }
    return keys;
  };

  /** What pins hold, whether a view is made of it or not: `fsck` may have dropped that. */
  const pinnedContent = async (): Promise<ReadonlySet<Digest>> => {
    const content = new Set<Digest>();
    const manifests = (await pins.listAll()).map(pin => pin.digest);
    for (let digest = manifests.pop(); digest !== undefined; digest = manifests.pop()) {
      content.add(digest);
      // Not held, as not each of an index is; or damaged, and then nobody can say.
      const manifest = await blobs
        .read(digest)
        .then(bytes => parseManifest(bytes, '', digest))
        .catch(() => undefined);
      if (manifest === undefined) continue;
      if (manifest.kind === 'index') manifests.push(...manifest.manifests.map(child => child.digest));
      else for (const part of [manifest.config, ...manifest.layers]) content.add(part.digest);
    }
    return content;
  };

  const removeDigest = async (item: Held | undefined, freed: Tally): Promise<void> => {
    if (item === undefined) return;
    await holds.remove(item.digest, async () => {
      if ((await views.list()).some(view => contentOf(view).has(item.digest))) return;
      await layers.remove(item.digest);
      await blobs.remove(item.digest);
      freed.bytes += item.bytes;
    });
  };

  /**
   * Removes a view that nothing needs now: a publish may have come and gone since the picture was taken, and left a
   * record and a mount. While this looks, no other can take hold of it. Returns whether it is gone.
   */
  const removeView = async (view: View): Promise<boolean> => {
    let gone = false;
    await holds.remove(viewId(view.key), async () => {
      if ((await rooted([view])).has(view.key)) return;
      await views.remove(view.key);
      gone = true;
    });
    return gone;
  };

  const forgetNames = async (): Promise<void> => {
    for (const name of await names.list()) {
      if ((await blobs.size(name.descriptor.digest)) === undefined) await names.remove(name.reference);
    }
  };

  /** One sweep over a picture of the cache taken at its start; what arrives meanwhile is not in it, or held. */
  const sweep = async (
    orphans: boolean,
    chosen: (view: View) => boolean,
    enough: (cacheBytes: number) => Promise<boolean>,
    signal: AbortSignal,
  ): Promise<Freed> => {
    using _only = await oneAtATime.lock('', signal);
    const all = await views.list();
    const items = await heldItems(blobs, layers);
    const keep = await rooted(all);
    const uses = countUses(all);
    for (const digest of await pinnedContent()) uses.set(digest, (uses.get(digest) ?? 0) + 1);
    const freed: Tally = { manifests: new Set(), bytes: 0 };
    const before = bytesOf(items);

    const oldestFirst = [...items.values()]
      .filter(item => orphans && !uses.has(item.digest))
      .sort((a, b) => a.since - b.since);
    for (const orphan of oldestFirst) {
      if (await enough(before - freed.bytes)) break;
      signal.throwIfAborted();
      await removeDigest(orphan, freed);
    }
    const unused = all
      .filter(view => chosen(view) && !keep.has(view.key))
      .sort((a, b) => a.usedAt - b.usedAt);
    for (const view of unused) {
      if (await enough(before - freed.bytes)) break;
      signal.throwIfAborted();
      if (!(await removeView(view))) continue;
      freed.manifests.add(view.manifest);
      for (const digest of contentOf(view)) {
        const left = (uses.get(digest) ?? 1) - 1;
        uses.set(digest, left);
        if (left === 0) await removeDigest(items.get(digest), freed);
      }
    }
    await forgetNames();
    await signatures.sweep(async digest => (await blobs.size(digest)) !== undefined);
    await authority.sweep(
      async digest => (await blobs.size(digest)) !== undefined || (await layers.has(digest)),
    );
    return { artifacts: freed.manifests.size, bytes: freed.bytes };
  };

  return {
    collect: (enough, signal) => sweep(true, () => true, enough, signal),
    discard: (keys, signal) =>
      sweep(
        false,
        view => keys.has(view.key),
        async () => false,
        signal,
      ),
    cacheBytes: async () => bytesOf(await heldItems(blobs, layers)),
  };
}

type Tally = { readonly manifests: Set<Digest>; bytes: number };

/** Blobs and unpacked layers by digest; a digest that is held as both counts as one. */
async function heldItems(blobs: Blobs, layers: Layers): Promise<ReadonlyMap<Digest, Held>> {
  const items = new Map<Digest, Held>();
  for (const item of [...(await blobs.list()), ...(await layers.list())]) {
    const other = items.get(item.digest);
    items.set(
      item.digest,
      other === undefined
        ? item
        : { ...item, bytes: item.bytes + other.bytes, inodes: item.inodes + other.inodes },
    );
  }
  return items;
}

function bytesOf(items: ReadonlyMap<Digest, Held>): number {
  return items.values().reduce((sum, item) => sum + item.bytes, 0);
}

function contentOf(view: View): ReadonlySet<Digest> {
  return new Set([...view.blobs, ...view.layers]);
}

function countUses(views: readonly View[]): Map<Digest, number> {
  const uses = new Map<Digest, number>();
  for (const view of views) {
    for (const digest of contentOf(view)) uses.set(digest, (uses.get(digest) ?? 0) + 1);
  }
  return uses;
}
