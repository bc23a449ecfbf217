import { randomUUID } from 'node:crypto';
import type { Digest } from '../../oci/digest.ts';
import type { LayerPlan } from '../../oci/plan.ts';
import type { Platform } from '../../oci/platform.ts';
import type { LateMounts, TriedLandings } from '../../ports/landing.ts';
import type { LateList, LateView, LateViews } from '../../ports/late-views.ts';
import type { Origin } from '../../ports/publishing.ts';
import type { View, Views } from '../../ports/store.ts';
import { type FileNode, measureTree } from '../../tree/tree.ts';
import { ArtifactError } from '../../util/error.ts';
import { doInSlices } from '../../util/pace.ts';
import { formatSize } from '../../util/size.ts';
import type { AdmittedContent } from '../access/admitted-content.ts';
import type { DiskSpace } from '../cache/disk-space.ts';
import { type Leases, viewId } from '../cache/leases.ts';
import type { LayerFetcher } from '../pull/layer-fetcher.ts';
import type { BuildContext } from '../pull/missing-layers.ts';
import { createOriginTally } from '../pull/progress.ts';
import type { Trees } from '../pull/trees.ts';
import type { ViewBuilder } from '../pull/view-builder.ts';
import type { ViewPlan } from '../pull/view-plan.ts';
import type { ChunkLists } from './chunk-lists.ts';
import type { LayerReads } from './reads.ts';
import { landingKey } from './view-reads.ts';

/** A late view that is mounted, and may be bound to targets. */
export type Started = {
  readonly view: View;
  readonly late: LateView;
  /** Where its content comes from, that which is not here yet, too. */
  readonly origin: Origin;
  /** The plans of its large layers. */
  readonly layers: readonly LayerPlan[];
  /** Their reads. */
  readonly reads: readonly LayerReads[];
  /** Why reads of missing bytes fail at once, whatever comes; undefined if they wait. */
  failure(): string | undefined;
  /** Fails all reads of missing bytes, from now on. */
  end(): void;
  /** Ends the reads, and then unmounts the image. */
  unmount(): Promise<void>;
};

/** What waits for a late view of an earlier process. */
export type WaitingView = Pick<Started, 'reads' | 'failure' | 'end' | 'unmount'>;

/** Layers up to this size come before the mount. */
const smallBytes = 1024 * 1024;
/** Other files are copied; beyond so many bytes, an artifact is loaded fully. */
const mostCopied = 1024 ** 3;
/** Each file that is copied fills its last block alone. So much is taken for directories and links, too: it is little. */
const blockBytes = 4096;

/** Starts late views: fetches what comes before the mount, and takes room for all. */
export function createLateStart(world: {
  readonly viewBuilder: Pick<ViewBuilder, 'admitHeld' | 'fetch' | 'merge'>;
  readonly trees: Trees;
  readonly source: Pick<LayerFetcher, 'progress'>;
  readonly lateViews: LateViews;
  readonly views: Pick<Views, 'find'>;
  readonly images: LateMounts;
  readonly room: DiskSpace;
  readonly leases: Pick<Leases, 'hold'>;
  readonly lists: Pick<ChunkLists, 'fetch'>;
  readonly warn: (text: string) => void;
}) {
  const { viewBuilder, trees, lateViews, images, room } = world;

  const loadFully = ({ reference }: ViewPlan, why: string): undefined => {
    world.warn(`${reference} is not loaded on demand, and is mounted when all of it is on the node: ${why}`);
    return undefined;
  };

  /** Makes the view and mounts it. Undoes its steps before it throws. `held`: the large layers that are here. */
  const mount = async (
    viewPlan: ViewPlan,
    missing: readonly LayerPlan[],
    held: readonly LayerPlan[],
    { source, origin, platform, landings, openReads, lists }: LateOptions,
    tenants: BuildContext['tenants'],
    signal: AbortSignal,
  ): Promise<Started | undefined> => {
    await using undo = new AsyncDisposableStack();
    using merged = await viewBuilder.merge(viewPlan, async () => 'bodies', tenants, signal);
    const { tree, record } = merged;
    const layers = [...missing, ...held];
    const isLate = new Set(layers.map(({ descriptor }) => descriptor.digest));
    const isCopied = ({ source: { kind, digest } }: FileNode): boolean =>
      kind !== 'blob' || !isLate.has(digest);
    const { bytes: copied, inodes } = await doInSlices(measureTree(tree, isCopied), signal);
    const large = layers.map(({ descriptor: { digest, size } }) => ({
      digest,
      size,
      list: lists.get(digest),
    }));
    if (copied > mostCopied) {
      const why = `${formatSize(copied)} of small files and tars are downloaded before the mount`;
      return loadFully(viewPlan, `${why}, and at most ${formatSize(mostCopied)} may`);
    }
    const onDisk = copied + inodes * blockBytes;
    using _room = await room.reserve(viewPlan.reference, viewPlan.plan.layers, [], () => onDisk, signal);
    const reads = layers.map((_, layer) => undo.use(openReads(layer, large[layer]?.size ?? 0)));
    const key = `${viewPlan.key}-${randomUUID().slice(0, 8)}`;
    const landed = reads.map((file, layer) => undo.use(landings.add(file, landingKey(key, layer))));
    const landingOf = (layer: number): string => landed[layer]?.path ?? '';
    const lease = undo.use(await world.leases.hold([viewId(key)]));
    const { keepsMaps } = landings;
    const plan = { key, record, tree, layers: large, source, platform, landingOf, keepsMaps };
    const made = await lateViews.create(plan, signal);
    if (made === undefined) return loadFully(viewPlan, 'no image can have so many or so large files');
    undo.defer(() => lateViews.remove(key));
    for (const number of layers.keys()) if (number >= missing.length) await made.view.show(number);
    const kept = undo.use(await images.keep(made.image, landed));
    const view = await findView(key);
    signal.throwIfAborted();
    undo.move();
    return toStarted({ view, late: made.view, origin, layers, reads, failure: landings.failure }, landed, [
      kept,
      lease,
    ]);
  };

  const findView = async (key: string): Promise<View> => {
    const view = await world.views.find(key);
    if (view !== undefined) return view;
    throw new ArtifactError(
      'internal',
      `the volume that is loaded on demand is no longer in the cache (view ${key})`,
    );
  };

  return {
    /**
     * Undefined if no layer is large and missing, or if it cannot be a late view: it is loaded fully then. Large layers
     * that are here are shown from the start.
     */
    async start(
      viewPlan: ViewPlan,
      content: AdmittedContent,
      context: Pick<BuildContext, 'report' | 'tenants'>,
      options: Omit<LateOptions, 'source' | 'origin' | 'lists'>,
      signal: AbortSignal,
    ): Promise<Started | undefined> {
      const { plan, selection, reference } = viewPlan;
      using _held = await world.leases.hold(viewPlan.held);
      await trees.verifyNames(plan, selection, signal);
      const { all, missing, unproven } = await viewBuilder.admitHeld(viewPlan, 'bodies', content, signal);
      const large = missing.filter(isLarge);
      if (large.length === 0) return undefined;
      const isMissing = new Set(missing);
      const held = all.filter(layer => isLarge(layer) && !isMissing.has(layer));
      const lacking = large.reduce((sum, { descriptor }) => sum + descriptor.size, 0);
      using _room = await room.reserve(reference, plan.layers, large, () => lacking, signal);
      const first = { missing: missing.filter(layer => !isLarge(layer)), unproven };
      const tally = createOriginTally();
      await viewBuilder.fetch(viewPlan, first, 'bodies', content, { ...context, tally }, signal);
      using lists = await world.lists.fetch(viewPlan, large, { content, tenants: context.tenants }, signal);
      const isLate = new Set(large);
      const origin = tally.origin(plan.layers.filter(layer => !isLate.has(layer)));
      const had = large.map(layer => world.source.progress(layer, content.registry));
      const later = lacking - had.reduce((sum, bytes) => sum + bytes, 0);
      const late = {
        ...options,
        lists: lists.byLayer,
        source: content.registry,
        origin: { ...origin, later },
      };
      return await mount(viewPlan, large, held, late, context.tenants, signal);
    },
    /** Continues one that an earlier process has started. `resumed`: its reads, if they could wait for this one. */
    async continue(
      viewPlan: ViewPlan,
      late: LateView,
      { reads, failure, end, unmount }: WaitingView = unread,
    ): Promise<Started> {
      const plans = new Map(viewPlan.plan.layers.map(layer => [layer.descriptor.digest, layer]));
      const layers = late.layers.flatMap(({ digest }) => plans.get(digest) ?? []);
      if (layers.length !== late.layers.length)
        throw new ArtifactError(
          'internal',
          `${viewPlan.reference} lacks layers of the volume that is loaded on demand (view ${late.key})`,
        );
      const view = await findView(late.key);
      const origin = createOriginTally().origin(viewPlan.plan.layers);
      return { view, late, origin, layers, reads, failure, end, unmount };
    },
  };
}

/**
 * Apart from what makes it: its functions live as long as the mount, and keep all that is around them, such as the
 * lists.
 */
function toStarted(
  made: Omit<Started, 'end' | 'unmount'>,
  landed: readonly Disposable[],
  [kept, lease]: readonly [AsyncDisposable, Disposable],
): Started {
  return {
    ...made,
    end() {
      for (const { [Symbol.dispose]: dispose } of [...landed, ...made.reads]) dispose();
    },
    async unmount() {
      await kept[Symbol.asyncDispose]();
      lease[Symbol.dispose]();
    },
  };
}

const unread: WaitingView = {
  reads: [],
  failure: () => 'the daemon that answered reads of what is missing has ended',
  end() {},
  unmount: async () => {},
};

type LateOptions = {
  readonly source: string;
  readonly origin: Origin;
  readonly platform: Platform | undefined;
  readonly landings: TriedLandings;
  readonly lists: ReadonlyMap<Digest, LateList>;
  readonly openReads: (layer: number, size: number) => LayerReads;
};

function isLarge({ form, descriptor }: LayerPlan): boolean {
  return form === 'file' && descriptor.size > smallBytes && descriptor.data === undefined;
}
