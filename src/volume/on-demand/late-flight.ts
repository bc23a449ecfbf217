import type { Digest } from '../../oci/digest.ts';
import type { LayerPlan } from '../../oci/plan.ts';
import { abortable } from '../../util/abortable.ts';
import { ArtifactError } from '../../util/error.ts';
import { throughPauses } from '../../util/pause.ts';
import type { AdmittedContent } from '../access/admitted-content.ts';
import type { DiskSpace } from '../cache/disk-space.ts';
import type { Leases } from '../cache/leases.ts';
import type { LayerFetcher } from '../pull/layer-fetcher.ts';
import type { BuildContext } from '../pull/missing-layers.ts';
import { createProgressTracker, type ProgressTracker } from '../pull/progress.ts';
import type { ViewBuilder } from '../pull/view-builder.ts';
import type { ViewPlan } from '../pull/view-plan.ts';
import type { HashingSink } from '../sinks/hashing-sink.ts';
import type { ByteSpan } from './byte-span.ts';
import type { ChunkLists } from './chunk-lists.ts';
import { createChunkedLayer } from './chunked-layer.ts';
import type { Started } from './late-start.ts';
import { createLoading } from './loading.ts';
import { createPieces } from './pieces.ts';
import { bringWhole } from './whole-layer.ts';

/** What a late view is loaded from. A republish may bring another credential. */
export type LateSource = { content: AdmittedContent };

export type LateFlight = {
  /** A read waits for bytes of a layer. */
  ask(layer: number, bytes: ByteSpan): void;
  /** Tries again what fails. */
  retry(): void;
  /** Loads only what reads wait for, until it is released. */
  hold(): void;
  release(): void;
  /** Whether it is held and no read waits: nothing is tried. */
  isIdle(): boolean;
  /** Why content failed last, until some of it comes. */
  problem(): ArtifactError | undefined;
  /** Whether content was shown of which the digest is wrong. */
  hasLied(): boolean;
  /** Why that is so, once it was found. */
  lie(): ArtifactError | undefined;
  /** When bytes came last, or were verified, as `performance.now()`. */
  heardAt(): number;
  /** Whether the view shows all of its content. */
  isLoaded(): boolean;
  /** Loads all layers, and then builds the view that later volumes get. @throws the signal's reason; what the build throws. */
  fly(context: BuildContext, signal: AbortSignal): Promise<void>;
};

/** Pieces that are loaded at a time, layers or chunks, and beside them those that reads wait for. */
const lanes = { layers: 2, chunks: 4, more: 4 } as const;
const retryMs = 30_000;
/** A server has so long for its first byte, or half the patience of a read, if that is shorter; longer if a file says so. */
const longestSilenceMs = 30_000;

/** Loads the layers of a late view that is mounted. */
export function createLateFlight(
  world: {
    readonly source: LayerFetcher;
    readonly viewBuilder: Pick<ViewBuilder, 'prepare' | 'share'>;
    readonly leases: Pick<Leases, 'hold'>;
    readonly room: Pick<DiskSpace, 'reserve'>;
    readonly lists: Pick<ChunkLists, 'distrust'>;
    /** The longest wait of a read while nothing comes. */
    readonly patienceMs: number;
  },
  viewPlan: ViewPlan,
  { late, layers, reads }: Started,
  from: LateSource,
  failed: (layer: LayerPlan, error: ArtifactError) => void,
): LateFlight {
  const { source, viewBuilder, leases } = world;
  const given = new Set<LayerPlan>();
  const proofs = new Map<Digest, HashingSink>();
  const pieces = createPieces(late);
  const chunked = layers.map((layer, number) => {
    const chunks = late.chunksOf(number);
    return chunks && createChunkedLayer(world, viewPlan, layer, chunks);
  });
  /** Pulls that wait for a layer that comes by chunk. */
  const waiting = layers.map(() => Promise.withResolvers<void>());
  const settle = (number: number): void => {
    waiting[number]?.resolve();
    waiting[number] = Promise.withResolvers();
  };
  /** Layers that failed, until bytes of them come. */
  const failing = new Set<number>();
  let isHeld = false;
  let work: { readonly tracker: ProgressTracker; readonly tenants: BuildContext['tenants'] } | undefined;
  let heardAt = 0;
  let lie: ArtifactError | undefined;
  let isLoaded = false;
  /** How long a server may be silent, by a file. */
  let silenceMs = 0;

  const here = (layer: LayerPlan): number =>
    late.chunksOf(layers.indexOf(layer))?.bytes() ?? source.progress(layer, from.content.registry);

  const bring = async (piece: number, heard: () => void, signal: AbortSignal): Promise<void> => {
    const { layer: number, of, chunk } = pieces.at(piece);
    const [layer, byChunk] = [layers[number], chunked[number]];
    if (layer === undefined || work === undefined) return;
    const { tracker, tenants } = work;
    const alive = (): void => {
      heardAt = performance.now();
      failing.delete(number);
      heard();
    };
    const came = (): void => {
      given.add(layer);
      alive();
    };
    silenceMs = await from.content.silenceMs(signal).catch(() => 0); // the download reports what is wrong
    const errand = () => ({
      content: from.content,
      tenants,
      came,
      proofs,
      form: 'bodies' as const,
      isAwaited: true,
    });
    const wait = (work: () => Promise<void>): Promise<void> =>
      throughPauses(work, pause => tracker.pause(layer, pause), signal);
    if (of !== undefined && byChunk !== undefined) {
      await wait(() => byChunk.bring(chunk, errand(), alive, signal));
      reads[number]?.serve(() => late.open(number), of.has);
      await wait(() => byChunk.finish(errand(), alive, signal));
    } else {
      await late.prepare(number);
      await wait(() => bringWhole(source, layer, errand(), alive, signal));
      await from.content.save();
      await late.show(number);
    }
    if (!late.isShown(number)) return;
    reads[number]?.serve(() => late.open(number));
    failing.delete(number);
    tracker.done(layer);
    settle(number);
  };

  const loading = createLoading(
    pieces.states(),
    {
      bring,
      failed(piece, error) {
        const { layer: number, of } = pieces.at(piece);
        const layer = layers[number];
        failing.add(number);
        if (of?.hasLied() === true) {
          lie ??= error;
          reads[number]?.refuse(error);
          world.lists.distrust(of.list);
        } else reads[number]?.fail(error, pieces.bytesOf(piece));
        settle(number);
        if (layer !== undefined) failed(layer, error);
      },
      layerOf: piece => pieces.at(piece).layer,
    },
    {
      lanes: chunked.some(Boolean) ? lanes.chunks : lanes.layers,
      more: lanes.more,
      retryMs,
      silentMs: () => Math.max(silenceMs, Math.min(longestSilenceMs, world.patienceMs / 2)),
    },
  );

  /** Lets pulls of the same content wait for layers that come by chunk. */
  const share = (): Disposable => {
    const shared = new DisposableStack();
    for (const [number, layer] of layers.entries()) {
      const chunks = late.chunksOf(number);
      if (chunks === undefined) continue;
      const isSettled = (): boolean =>
        late.isShown(number) || isHeld || failing.has(number) || chunks.hasLied();
      const settled = async (signal: AbortSignal): Promise<void> => {
        if (!isSettled()) await abortable(waiting[number]?.promise ?? Promise.resolve(), signal);
      };
      shared.defer(() => settle(number));
      const bytes = (): number => (given.has(layer) ? chunks.bytes() : 0);
      shared.use(viewBuilder.share(layer, from.content, { bytes, settled }));
    }
    return shared;
  };

  return {
    ask: (layer, bytes) => pieces.with(layer, bytes).forEach(loading.ask),
    retry: loading.retry,
    hold() {
      isHeld = true;
      loading.hold();
      for (const number of layers.keys()) settle(number);
    },
    release() {
      isHeld = false;
      loading.release();
    },
    isIdle: loading.isIdle,
    problem: loading.problem,
    hasLied: () => layers.some((_, layer) => late.chunksOf(layer)?.hasLied() === true),
    lie: () => lie,
    heardAt: () => heardAt,
    isLoaded: () => isLoaded,
    async fly(context, signal) {
      using _held = await leases.hold(viewPlan.held);
      const tracker = createProgressTracker({
        plans: viewPlan.plan.layers,
        missing: layers,
        here,
        isShown: layer => given.has(layer) || from.content.knows(layer.descriptor),
        report: context.report,
      });
      for (const [number, layer] of layers.entries()) if (late.isShown(number)) tracker.done(layer);
      work = { tracker, tenants: context.tenants };
      using _ticking = setInterval(tracker.tick, 500).unref();
      using _shared = share();
      await loading.run(signal);
      isLoaded = true;
      await viewBuilder.prepare(viewPlan, from.content, context, signal);
    },
  };
}
