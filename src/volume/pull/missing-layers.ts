import type { LayerPlan } from '../../oci/plan.ts';
import type { Disk } from '../../ports/disk.ts';
import type { Meter } from '../../ports/meter.ts';
import type { Blobs } from '../../ports/store.ts';
import type { Progress } from '../../ports/usecases.ts';
import type { LayerForm } from '../../tree/toc.ts';
import { doAll } from '../../util/abortable.ts';
import type { FairSlots, Tenants } from '../../util/fair-slots.ts';
import { throughPauses } from '../../util/pause.ts';
import type { AdmittedContent } from '../access/admitted-content.ts';
import type { DiskSpace } from '../cache/disk-space.ts';
import { measureFullDisk } from '../cache/full-disk.ts';
import type { LayerFetcher } from './layer-fetcher.ts';
import { createProgressTracker, type OriginTally } from './progress.ts';
import { chooseSmall } from './small-layers.ts';
import { createSubPathCheck } from './sub-path-check.ts';
import type { Trees } from './trees.ts';
import type { ViewPlan } from './view-plan.ts';

/** Where progress is reported and counted, for which tenants the view is built, and what records it while it is leased. */
export type BuildContext = {
  readonly report: (progress: Progress) => void;
  readonly tally: OriginTally;
  readonly tenants: Tenants;
  readonly record: () => Promise<void>;
};

/** Layers that must be downloaded into the cache, and cached ones that must be downloaded to prove access. */
export type WantedLayers = {
  readonly missing: readonly LayerPlan[];
  readonly unproven: readonly LayerPlan[];
};

/** A load that makes a layer whole in another way than `LayerFetcher.bring`. */
export type SharedLoad = {
  /** Bytes that have come for the same content. */
  bytes(): number;
  /** Resolves when the layer is here, or when it is not known whether it will be. @throws the signal's reason. */
  settled(signal: AbortSignal): Promise<void>;
};

export type MissingLayers = {
  /** Until this is disposed, a fetch of the layer for the same content waits for the load before it begins a download. */
  share(layer: LayerPlan, content: AdmittedContent, load: SharedLoad): Disposable;
  /**
   * Fetches the layers that a view lacks into the cache, with progress.
   *
   * @throws as `LayerFetcher.bring`; `exhausted` before the first byte if the disk has no space for them; `unmountable`
   *   as soon as it is known that nothing is at the subPath.
   */
  fetch(
    viewPlan: ViewPlan,
    wanted: WantedLayers,
    form: LayerForm,
    content: AdmittedContent,
    context: Omit<BuildContext, 'record'>,
    signal: AbortSignal,
  ): Promise<void>;
};

/** @param world `merges`: slots for trees in memory. */
export function createMissingLayers(world: {
  readonly source: LayerFetcher;
  readonly trees: Trees;
  readonly blobs: Pick<Blobs, 'expect'>;
  readonly disk: Disk;
  readonly room: Pick<DiskSpace, 'reserve'>;
  readonly meter: Pick<Meter, 'pullEnded'>;
  readonly merges: FairSlots;
  readonly nodeId: string;
}): MissingLayers {
  const { source, trees, blobs, room, meter, merges } = world;

  const loads = new Map<string, Set<SharedLoad>>();
  const keyOf = ({ descriptor: { digest, size } }: LayerPlan, { id }: AdmittedContent): string =>
    `${digest} ${size} ${id}`;
  const share: MissingLayers['share'] = (layer, content, load) => {
    const key = keyOf(layer, content);
    const all = loads.get(key) ?? new Set();
    loads.set(key, all.add(load));
    const end = (): void => {
      if (all.delete(load) && all.size === 0) loads.delete(key);
    };
    return { [Symbol.dispose]: end };
  };
  /** Of several, the one that is furthest. */
  const sharedLoad = (layer: LayerPlan, content: AdmittedContent): SharedLoad | undefined =>
    [...(loads.get(keyOf(layer, content)) ?? [])].toSorted((a, b) => b.bytes() - a.bytes())[0];

  /** Large layers come last, in an order of this node. */
  const inOrder = async (layers: readonly LayerPlan[]): Promise<readonly LayerPlan[]> => {
    const large = layers.filter(({ descriptor }) => descriptor.size >= largeBytes);
    if (large.length < 2) return layers;
    const { orderByNode } = await import('./layer-order.ts');
    return [...layers.filter(layer => !large.includes(layer)), ...orderByNode(large, world.nodeId)];
  };

  const fetch: MissingLayers['fetch'] = async (
    viewPlan,
    { missing, unproven },
    form,
    content,
    { report, tally, tenants },
    signal,
  ) => {
    const { reference, plan } = viewPlan;
    const wanted = [...missing, ...unproven];
    if (wanted.length === 0) return;
    const given = new Set<LayerPlan>();
    const alone = new Set<LayerPlan>();
    const loadOf = (layer: LayerPlan): SharedLoad | undefined =>
      alone.has(layer) ? undefined : sharedLoad(layer, content);
    const here = (layer: LayerPlan): number =>
      loadOf(layer)?.bytes() ?? source.progress(layer, content.registry);
    for (const layer of missing) tally.found(layer, here(layer));
    const tracker = createProgressTracker({
      plans: plan.layers,
      missing: wanted,
      here,
      isShown: layer => given.has(layer) || loadOf(layer) !== undefined || content.knows(layer.descriptor),
      report,
    });
    const merge = async (): Promise<void> => {
      using _turn = await merges.acquire('', tenants, signal);
      const settled = await trees.settle(plan, signal);
      await trees.merge({ ...settled, stored: form }, viewPlan.selection, () => {}, signal);
    };
    const check =
      viewPlan.selection.subPath === undefined ? undefined : createSubPathCheck(plan, wanted, merge);
    await check?.verify();
    /** Layers for which a load makes room, or, if it ends without them, a reservation of their own. */
    const apart = new Set(missing.filter(layer => loadOf(layer) !== undefined));
    const remaining = (): number =>
      tracker.remaining(missing.filter(layer => !apart.has(layer) && loadOf(layer) === undefined));
    using _reservation = await room.reserve(reference, plan.layers, missing, remaining, signal);
    const toStore = missing.filter(({ form }) => form !== 'unpacked');
    using _expected = blobs.expect(toStore.map(({ descriptor }) => descriptor.digest));
    using _ticking = setInterval(tracker.tick, 200).unref();
    let unwritten = 0;
    const save = async (): Promise<void> => {
      unwritten = 0;
      await content.save();
    };
    const came = (layer: LayerPlan, bytes: number): void => {
      given.add(layer);
      tally.came(layer, bytes);
    };
    const errand = { content, tenants, came, proofs: new Map(), form };
    const together = chooseSmall(missing);
    const small = new Set(together);
    const others = await inOrder(wanted.filter(layer => !small.has(layer)));
    const fetchOne = async (layer: LayerPlan, signal: AbortSignal): Promise<void> => {
      const { size } = layer.descriptor;
      const load = loadOf(layer);
      if (load !== undefined) apart.add(layer);
      await load?.settled(signal);
      alone.add(layer);
      const own = (): number => tracker.remaining([layer]);
      const isRoomLacking = apart.has(layer) && !(await source.isHeld(layer, form));
      using _room = isRoomLacking
        ? await room.reserve(reference, plan.layers, [layer], own, signal)
        : undefined;
      const servedBy = await throughPauses(
        () => source.bring(layer, errand, signal),
        pause => tracker.pause(layer, pause),
        signal,
      );
      if (servedBy !== undefined) {
        given.add(layer);
        unwritten++;
      }
      tracker.done(layer);
      await check?.came(layer);
      if (size >= worthAWrite || unwritten >= maxUnwritten) await save();
    };
    const fetchEach = (layers: readonly LayerPlan[], signal: AbortSignal): Promise<void> =>
      doAll(layers, maxQueued, fetchOne, signal);
    const fetchTogether = async (signal: AbortSignal): Promise<void> => {
      const left = new Set(together);
      const stored = async (layers: readonly LayerPlan[]): Promise<void> => {
        for (const layer of layers) {
          left.delete(layer);
          came(layer, layer.descriptor.size);
          tracker.done(layer);
          await check?.came(layer);
        }
        unwritten += layers.length;
        if (unwritten >= maxUnwritten) await save();
      };
      const [first] = together;
      if (first === undefined) return;
      await throughPauses(
        () => source.bringTogether([...left], errand, stored, signal),
        pause => tracker.pause(first, pause),
        signal,
      );
      await fetchEach([...left], signal);
    };
    const works = [fetchTogether, (signal: AbortSignal) => fetchEach(others, signal)];
    try {
      try {
        await doAll(works, works.length, (work, signal) => work(signal), signal);
      } finally {
        await save();
      }
      meter.pullEnded('ok');
    } catch (thrown) {
      meter.pullEnded(signal.aborted ? 'cancelled' : 'error');
      throw await measureFullDisk(thrown, world.disk, reference, remaining());
    }
  };

  return { fetch, share };
}

/** Smaller layers come soon, in whichever order. */
const largeBytes = 64 * 1024 * 1024;
/** Layers of one artifact that queue at once. Those of other artifacts wait behind these only. */
const maxQueued = 48;
/**
 * What is not recorded before a crash must be confirmed again. Layers of this many bytes are recorded one by one,
 * smaller ones by the hundred.
 */
const worthAWrite = 1024 * 1024;
const maxUnwritten = 250;
