import type { LayerPlan } from '../../oci/plan.ts';
import type { LayerProgress, Progress } from '../../ports/usecases.ts';
import type { Pause } from '../../util/pause.ts';
import { createRate, type Rate } from '../../util/rate.ts';
import { footprint } from '../cache/footprint.ts';
import { whilePaused } from './progress.ts';

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
  /** Bytes that will still be written to disk. */
  remaining(): number;
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
    remaining: () => missing.reduce((sum, layer) => sum + lacking(layer, footprint(layer)), 0),
    tick,
    pause(layer, pause) {
      if (pause === undefined) pauses.delete(layer);
      else pauses.set(layer, pause);
    },
    done: (layer: LayerPlan): void => void open.delete(layer),
  };
}
