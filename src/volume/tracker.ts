import type { LayerPlan } from '../oci/plan.ts';
import { footprint } from './room.ts';
import type { Progress } from './usecases.ts';

/** As if all of it were there. */
export function totals(plans: readonly LayerPlan[]): Omit<Progress, 'phase'> {
  const bytes = plans.reduce((sum, layer) => sum + layer.descriptor.size, 0);
  return { bytes, totalBytes: bytes, layers: plans.length, totalLayers: plans.length };
}

export type Tracker = {
  /** Bytes that the disk must still take. */
  remaining(): number;
  /** Reports how far it is. */
  tick(): void;
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
  const whole = totals(plans);
  const remaining = (sizeOf: (layer: LayerPlan) => number): number => {
    let bytes = 0;
    for (const layer of open) bytes += sizeOf(layer) - progress(layer);
    return bytes;
  };
  const tick = (): void => {
    const left = remaining(layer => layer.descriptor.size);
    const phase = left === 0 ? 'unpack' : 'download';
    report({ ...whole, bytes: whole.totalBytes - left, layers: plans.length - open.size, phase });
  };
  tick();
  return {
    remaining: () => remaining(footprint),
    tick,
    done: (layer: LayerPlan): void => void open.delete(layer),
  };
}
