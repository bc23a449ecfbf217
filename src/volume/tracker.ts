import type { LayerPlan } from '../oci/plan.ts';
import type { Pause } from '../util/pause.ts';
import { createRate } from '../util/rate.ts';
import { whilePaused } from './progress.ts';
import { footprint } from './room.ts';
import type { Progress } from './usecases.ts';

/** As if all of it were there. */
export function totals(plans: readonly LayerPlan[]): Omit<Progress, 'phase'> {
  const bytes = plans.reduce((sum, layer) => sum + layer.descriptor.size, 0);
  return { bytes, totalBytes: bytes, layers: plans.length, totalLayers: plans.length, bytesPerSecond: 0 };
}

export type Tracker = {
  /** Bytes that the disk must still take. */
  remaining(): number;
  /** Reports how far it is. */
  tick(): void;
  /** Notes what a layer waits for; undefined when it goes on. */
  pause(layer: LayerPlan, pause: Pause | undefined): void;
  done(layer: LayerPlan): void;
};

/** Adds up how far the layers of one pull are. */
export function createTracker(
  plans: readonly LayerPlan[],
  missing: readonly LayerPlan[],
  progress: (layer: LayerPlan) => number,
  report: (progress: Progress) => void,
): Tracker {
  const open = new Set(missing);
  const pauses = new Map<LayerPlan, Pause>();
  const whole = totals(plans);
  const rate = createRate(10_000);
  const remaining = (sizeOf: (layer: LayerPlan) => number): number => {
    let bytes = 0;
    for (const layer of open) bytes += sizeOf(layer) - progress(layer);
    return bytes;
  };
  const tick = (): void => {
    const left = remaining(layer => layer.descriptor.size);
    const phase = left === 0 ? 'unpack' : 'download';
    const bytes = whole.totalBytes - left;
    const bytesPerSecond = Math.round(rate(bytes, performance.now()));
    const reached: Progress = {
      ...whole,
      bytes,
      bytesPerSecond,
      layers: plans.length - open.size,
      phase,
    };
    const [next] = [...pauses.values()].toSorted((a, b) => a.until - b.until);
    report(whilePaused(next, reached));
  };
  tick();
  return {
    remaining: () => remaining(footprint),
    tick,
    pause(layer, pause) {
      if (pause === undefined) pauses.delete(layer);
      else pauses.set(layer, pause);
    },
    done: (layer: LayerPlan): void => void open.delete(layer),
  };
}
