import type { Digest } from '../../oci/digest.ts';
import type { Mounter } from '../../ports/mounter.ts';
import type { Complete, NameRecord, Names, PinRecord, VolumeRecord } from '../../ports/records.ts';
import type { Blobs, Held, Layers, View, Views } from '../../ports/store.ts';
import type { Freed, Pruned } from '../../ports/usecases.ts';
import { never } from '../../util/abortable.ts';
import { createSemaphore } from '../../util/mutex.ts';
import { startPace } from '../../util/pace.ts';
import type { AccessCheck } from '../access/access-check.ts';
import type { SignatureCheck } from '../access/signature-check.ts';
import { isCached, listItems } from './items.ts';
import type { Leases } from './leases.ts';
import { contentOf, readRoots } from './roots.ts';
import { createSweep, type Picture, type Sweep, untouched } from './sweep.ts';

/**
 * Garbage collection: removes what no root reaches. Volumes, mounts, pins and pulls in progress are roots that stay.
 * Names are roots that it ends. Each sweep computes reachability once, in time linear in the cache and its records.
 */
export type Collector = {
  /**
   * Frees space until `enough` returns true: first what no root reaches, then the least recently used names, each with
   * the content that only it needed. `enough` gets the bytes of the cache at the start, less those freed since.
   */
  collect(enough: (cacheBytes: number) => Promise<boolean>, signal: AbortSignal): Promise<Pruned>;
  /** What it would remove if there were never enough space. */
  preview(signal: AbortSignal): Promise<Pruned>;
  /** Removes those of these digests that no root reaches, however much space there is. */
  release(digests: Iterable<Digest>, signal: AbortSignal): Promise<Freed>;
  /**
   * Cleans up after a load: of what it stored, removes what no root reaches, and the blobs of layers that were unpacked
   * and that no view shows as files.
   */
  settle(stored: Iterable<Digest>): Promise<void>;
  /** Bytes of blobs and unpacked layers. */
  cacheBytes(): Promise<number>;
};

export function createCollector(world: {
  readonly blobs: Blobs;
  readonly layers: Layers;
  readonly views: Views;
  readonly names: Complete<NameRecord> & Pick<Names, 'put' | 'remove'>;
  readonly volumes: Complete<VolumeRecord>;
  readonly pins: Complete<PinRecord>;
  readonly signatures: Pick<SignatureCheck, 'sweep'>;
  readonly access: Pick<AccessCheck, 'sweep'>;
  readonly mounter: Pick<Mounter, 'list'>;
  readonly leases: Pick<Leases, 'remove' | 'watch'>;
  readonly viewsDirectory: string;
}): Collector {
  const { views, signatures, access, leases } = world;
  const oneAtATime = createSemaphore(1);

  /** Forgets records about content that has left the cache. */
  const forget = async (sweep: Sweep, signal: AbortSignal): Promise<void> => {
    const pace = startPace(signal);
    const isHeld = async (digest: Digest): Promise<boolean> => {
      await pace();
      if (sweep.isReached(digest)) return true;
      return isCached(world, digest);
    };
    await signatures.sweep(isHeld);
    await access.sweep(isHeld);
  };

  const sweep = async (
    work: (sweep: Sweep, picture: Picture) => Promise<void>,
    signal: AbortSignal,
    isPreview = false,
  ): Promise<Pruned> => {
    using _only = await oneAtATime.acquire(signal);
    using since = leases.watch();
    const pace = startPace(signal);
    const roots = await readRoots(world);
    const picture = { roots, views: await views.list(), items: await heldItems(world) };
    await pace();
    const swept = createSweep(isPreview ? untouched(world) : world, picture, since);
    await pace();
    await work(swept, picture);
    if (!isPreview) await forget(swept, signal);
    const { manifests, bytes, items } = swept.freed;
    return { artifacts: manifests.size, bytes, items };
  };

  const collect = (
    enough: (cacheBytes: number) => Promise<boolean>,
    signal: AbortSignal,
    isPreview = false,
  ): Promise<Pruned> =>
    sweep(
      async (swept, picture) => {
        const pace = startPace(signal);
        const before = bytesOf(picture.items);
        for (const findSteps of [unreached, leastRecentlyUsed]) {
          for (const step of findSteps(swept, picture)) {
            if (await enough(before - swept.freed.bytes)) return;
            signal.throwIfAborted();
            await step();
          }
          await pace();
        }
      },
      signal,
      isPreview,
    );

  return {
    collect: (enough, signal) => collect(enough, signal),
    preview: signal => collect(async () => false, signal, true),
    release: (digests, signal) =>
      sweep(async swept => {
        for (const digest of digests) await swept.dropDigest(digest);
      }, signal),
    async settle(stored) {
      await sweep(async (swept, { views: made }) => {
        const linked = new Set(made.flatMap(view => view.blobs));
        for (const digest of stored) {
          await swept.dropDigest(digest);
          if (!linked.has(digest)) await swept.dropSource(digest);
        }
      }, never);
    },
    cacheBytes: async () => bytesOf(await heldItems(world)),
  };
}

type Step = () => Promise<void>;

/** Removes the views that no caller can need, then the other content that no root reaches, oldest first. */
function unreached({ isReached, dropView, dropDigest }: Sweep, { views, items }: Picture): readonly Step[] {
  const useless = views.filter(view => !contentOf(view).values().every(isReached));
  const orphans = [...items.values()].filter(({ digest }) => !isReached(digest));
  return [
    ...useless.toSorted((a, b) => a.usedAt - b.usedAt).map(view => () => dropView(view)),
    ...orphans
      .toSorted((a, b) => a.since - b.since)
      .map(
        ({ digest }) =>
          () =>
            dropDigest(digest),
      ),
  ];
}

/**
 * Ends names, and removes views beyond one per manifest: they take inodes, and can be built again from the cache. The
 * view of a manifest that was used last goes with its content.
 */
function leastRecentlyUsed({ endName, dropView }: Sweep, { roots, views }: Picture): readonly Step[] {
  const latest = new Map<Digest, View>();
  for (const view of views.filter(({ damage }) => damage === undefined)) {
    const other = latest.get(view.manifest);
    if (other === undefined || other.usedAt <= view.usedAt) latest.set(view.manifest, view);
  }
  const surplus = views.filter(view => latest.get(view.manifest) !== view);
  return [
    ...surplus.map(view => ({ usedAt: view.usedAt, step: () => dropView(view) })),
    ...roots.names.map(name => ({ usedAt: name.usedAt, step: () => endName(name) })),
  ]
    .toSorted((a, b) => a.usedAt - b.usedAt)
    .map(({ step }) => step);
}

/** Blobs and unpacked layers by digest. A digest that is stored as both counts once. */
async function heldItems(world: Parameters<typeof listItems>[0]): Promise<ReadonlyMap<Digest, Held>> {
  const items = new Map<Digest, Held>();
  for (const item of await listItems(world)) {
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
