import type { LayerPlan } from '../../oci/plan.ts';
import type { Origin } from '../../ports/publishing.ts';
import type { LayerProgress, Progress } from '../../ports/usecases.ts';
import type { Pause } from '../../util/pause.ts';
import { formatRetry, type Retry } from '../../util/retry.ts';
import { footprint } from '../cache/disk-space.ts';

/** The report of a waiting pull. `soFar` is the last report. */
export function whilePaused(pause: Pause | undefined, soFar: Progress = resolving): Progress {
  if (pause === undefined) return soFar;
  return { ...soFar, waits: pause.reason };
}

/** Before the totals are known. */
export const resolving: Progress = {
  phase: 'resolve',
  bytes: 0,
  totalBytes: 0,
  layers: 0,
  totalLayers: 0,
  bytesPerSecond: 0,
};

/** Combines the two reporters of a pull: its progress, and the retries of the registry client. */
export type RetryReport = {
  readonly report: (progress: Progress) => void;
  readonly tell: (retry: Retry) => void;
};

/** Adds to each progress report what the pull waits for, while it waits. */
export function withRetries(
  onProgress: (progress: Progress) => void,
  now: () => number = () => performance.now(),
): RetryReport {
  let latest = resolving;
  let wait = { until: -Infinity, text: '' };
  const report = (progress: Progress): void => {
    latest = progress;
    onProgress(
      now() < wait.until && progress.waits === undefined ? { ...progress, waits: wait.text } : progress,
    );
  };
  return {
    report,
    tell(retry) {
      wait = { until: now() + retry.waitMs, text: formatRetry(retry) };
      report(latest);
    },
  };
}

/** Layers listed in a report: more than are downloaded at once, and as many as a terminal shows. */
const mostCurrent = 16;
const longestName = 200;
const title = 'org.opencontainers.image.title';

/** The totals of a pull that has finished. */
export function totals(plans: readonly LayerPlan[]): Omit<Progress, 'phase'> {
  const bytes = plans.reduce((sum, layer) => sum + layer.descriptor.size, 0);
  return { bytes, totalBytes: bytes, layers: plans.length, totalLayers: plans.length, bytesPerSecond: 0 };
}

export type ProgressTracker = {
  /** Bytes of these missing layers that will still be written to disk. */
  remaining(layers: readonly LayerPlan[]): number;
  /** Reports the progress. */
  tick(): void;
  /** Records what a layer waits for; undefined when it continues. */
  pause(layer: LayerPlan, pause: Pause | undefined): void;
  done(layer: LayerPlan): void;
};

/**
 * Sums up the progress of the layers of one pull. `here`: how many bytes of a missing layer are on the node. `isShown`:
 * whether the caller may know them; otherwise they count as missing, because they may belong to another tenant.
 */
export function createProgressTracker(world: {
  readonly plans: readonly LayerPlan[];
  readonly missing: readonly LayerPlan[];
  readonly here: (layer: LayerPlan) => number;
  readonly isShown: (layer: LayerPlan) => boolean;
  readonly report: (progress: Progress) => void;
}): ProgressTracker {
  const { plans, missing, here, isShown, report } = world;
  const open = new Set(missing);
  const pauses = new Map<LayerPlan, Pause>();
  const whole = totals(plans);
  const rate = createRate(10_000);
  const lacking = (layer: LayerPlan, size: number): number => (open.has(layer) ? size - here(layer) : 0);
  const rates = new Map<LayerPlan, Rate>();
  const reach = (layer: LayerPlan, now: number): LayerProgress => {
    const { size: totalBytes, mediaType, annotations } = layer.descriptor;
    const bytes = here(layer);
    const own = rates.get(layer) ?? createRate(10_000);
    rates.set(layer, own);
    const name = (annotations[title] || mediaType).slice(0, longestName);
    return { name, bytes, totalBytes, bytesPerSecond: Math.round(own(bytes, now)) };
  };
  const tick = (): void => {
    let left = 0;
    let layersLeft = 0;
    for (const layer of missing) {
      const shown = isShown(layer);
      left += shown ? lacking(layer, layer.descriptor.size) : layer.descriptor.size;
      if (!shown || open.has(layer)) layersLeft++;
    }
    const bytes = whole.totalBytes - left;
    const now = performance.now();
    const bytesPerSecond = Math.round(rate(bytes, now));
    const current = missing.filter(layer => open.has(layer) && isShown(layer) && here(layer) > 0);
    const reached: Progress = {
      ...whole,
      ...(current.length === 0
        ? {}
        : { current: current.slice(0, mostCurrent).map(layer => reach(layer, now)) }),
      bytes,
      bytesPerSecond,
      layers: plans.length - layersLeft,
      phase: left === 0 ? 'unpack' : 'download',
    };
    const [next] = [...pauses.values()].toSorted((a, b) => a.until - b.until);
    report(whilePaused(next, reached));
  };
  tick();
  return {
    remaining: layers => layers.reduce((sum, layer) => sum + lacking(layer, footprint(layer)), 0),
    tick,
    pause(layer, pause) {
      if (pause === undefined) pauses.delete(layer);
      else pauses.set(layer, pause);
    },
    done: (layer: LayerPlan): void => void open.delete(layer),
  };
}

/**
 * Returns a function that receives growing values, each with its time in milliseconds, and returns the growth per
 * second over the last `overMs`.
 */
export type Rate = (value: number, now: number) => number;

export function createRate(overMs: number): Rate {
  const samples: { readonly value: number; readonly at: number }[] = [];
  return (value, now) => {
    samples.push({ value, at: now });
    while ((samples[1]?.at ?? now) < now - overMs) samples.shift();
    const [first = { value, at: now }] = samples;
    return now === first.at ? 0 : (Math.max(0, value - first.value) / (now - first.at)) * 1000;
  };
}

/** Counts where the bytes of the layers came from, over all attempts of a pull. */
export type OriginTally = {
  /** Records what is here of a layer that is not cached, before it is fetched. The first record of a layer counts. */
  found(layer: LayerPlan, bytes: number): void;
  came(layer: LayerPlan, bytes: number): void;
  /** A layer that was neither found incomplete nor came was in the cache. */
  origin(plans: readonly LayerPlan[]): Origin;
};

export function createOriginTally(): OriginTally {
  const fetched = new Map<LayerPlan, { readonly had: number; readonly came: number }>();
  return {
    found(layer, bytes) {
      if (!fetched.has(layer)) fetched.set(layer, { had: bytes, came: 0 });
    },
    came(layer, bytes) {
      const { had, came } = fetched.get(layer) ?? { had: 0, came: 0 };
      fetched.set(layer, { had, came: came + bytes });
    },
    origin(plans) {
      const { totalBytes, totalLayers } = totals(plans);
      let [ofFetched, resumed] = [0, 0];
      for (const [{ descriptor }, { had, came }] of fetched) {
        ofFetched += descriptor.size;
        resumed += Math.min(had, Math.max(0, descriptor.size - came)); // what came again was of no use
      }
      return {
        pulled: ofFetched - resumed,
        resumed,
        cached: totalBytes - ofFetched,
        pulledLayers: fetched.size,
        cachedLayers: totalLayers - fetched.size,
      };
    },
  };
}
