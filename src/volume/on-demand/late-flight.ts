import type { Digest } from '../../oci/digest.ts';
import type { LayerPlan } from '../../oci/plan.ts';
import { ArtifactError } from '../../util/error.ts';
import { throughPauses } from '../../util/pause.ts';
import type { AdmittedContent } from '../access/admitted-content.ts';
import type { Leases } from '../cache/leases.ts';
import type { LayerFetcher } from '../pull/layer-fetcher.ts';
import type { BuildContext } from '../pull/missing-layers.ts';
import { createProgressTracker, type ProgressTracker } from '../pull/progress.ts';
import type { ViewBuilder } from '../pull/view-builder.ts';
import type { ViewPlan } from '../pull/view-plan.ts';
import type { HashingSink } from '../sinks/hashing-sink.ts';
import type { Started } from './late-start.ts';
import { createLoading, type Loading } from './loading.ts';

/** What a late view is loaded from. A republish may bring another credential. */
export type LateSource = { content: AdmittedContent };

export type LateFlight = {
  readonly loading: Loading;
  /** When bytes came last, or were verified, as `performance.now()`. */
  heardAt(): number;
  /** Loads all layers, and then builds the view that later volumes get. @throws the signal's reason; what the build throws. */
  fly(context: BuildContext, signal: AbortSignal): Promise<void>;
};

/** Layers that are loaded at a time, and beside them those that reads wait for. */
const lanes = { lanes: 2, more: 4, retryMs: 30_000 } as const;
/** A server has so long for its first byte, or half the patience of a read, if that is shorter; longer if a file says so. */
const longestSilenceMs = 30_000;
/** How often it is looked whether another pull brings a layer, or its bytes are verified: that takes long, and is silent. */
const listenMs = 1_000;

/** Loads the layers of a late view that is mounted. */
export function createLateFlight(
  world: {
    readonly source: LayerFetcher;
    readonly viewBuilder: Pick<ViewBuilder, 'prepare'>;
    readonly leases: Pick<Leases, 'hold'>;
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
  let work: { readonly tracker: ProgressTracker; readonly tenants: BuildContext['tenants'] } | undefined;

  let heardAt = 0;
  /** How long a server may be silent, by a file. */
  let silenceMs = 0;

  /**
   * Calls back while a layer comes that another pull may be bringing, and while it is verified; and when it is in the
   * cache although its download is silent.
   */
  const listen = (layer: LayerPlan, heard: () => void, cached: () => void): Disposable => {
    const here = (): number => source.progress(layer, from.content.registry);
    let last = here();
    const look = async (): Promise<void> => {
      const now = here();
      const isSilent = now === last && now < layer.descriptor.size;
      last = now;
      if (!isSilent) heard();
      else if (await source.isHeld(layer, 'bodies')) cached();
    };
    return setInterval(() => void look().catch(() => {}), listenMs).unref(); // the download reports what is wrong
  };

  const bring = async (number: number, heard: () => void, signal: AbortSignal): Promise<void> => {
    const layer = layers[number];
    if (layer === undefined || work === undefined) return;
    const { tracker, tenants } = work;
    const { content } = from;
    const alive = (): void => {
      heardAt = performance.now();
      heard();
    };
    const came = (): void => {
      given.add(layer);
      alive();
    };
    await late.prepare(number);
    silenceMs = await content.silenceMs(signal).catch(() => 0); // the download reports what is wrong
    const download = (until: AbortSignal): Promise<unknown> =>
      throughPauses(
        () => source.bring(layer, { content, tenants, came, proofs, form: 'bodies' }, until),
        pause => tracker.pause(layer, pause),
        until,
      );
    const wasHeld = await source.isHeld(layer, 'bodies');
    const elsewhere = new AbortController();
    using _listening = listen(layer, alive, () => {
      if (!wasHeld) elsewhere.abort(new ArtifactError('cancelled', 'another source brought the layer'));
    });
    try {
      await download(AbortSignal.any([signal, elsewhere.signal]));
    } catch (thrown) {
      if (signal.aborted || !elsewhere.signal.aborted) throw thrown;
      await download(signal);
    }
    await content.save();
    await late.show(number);
    reads[number]?.serve(() => late.open(number));
    tracker.done(layer);
  };

  const loading = createLoading(
    layers.map((_, number) => (late.isShown(number) ? 'here' : 'missing')),
    {
      bring,
      failed(number, error) {
        const layer = layers[number];
        reads[number]?.fail(error);
        if (layer !== undefined) failed(layer, error);
      },
    },
    {
      ...lanes,
      silentMs: () => Math.max(silenceMs, Math.min(longestSilenceMs, world.patienceMs / 2)),
    },
  );

  return {
    loading,
    heardAt: () => heardAt,
    async fly(context, signal) {
      using _held = await leases.hold(viewPlan.held);
      const tracker = createProgressTracker({
        plans: viewPlan.plan.layers,
        missing: layers,
        here: layer => source.progress(layer, from.content.registry),
        isShown: layer => given.has(layer) || from.content.knows(layer.descriptor),
        report: context.report,
      });
      for (const [number, state] of loading.states().entries()) {
        const layer = layers[number];
        if (state === 'here' && layer !== undefined) tracker.done(layer);
      }
      work = { tracker, tenants: context.tenants };
      using _ticking = setInterval(tracker.tick, 500).unref();
      await loading.run(signal);
      await viewBuilder.prepare(viewPlan, from.content, context, signal);
    },
  };
}
