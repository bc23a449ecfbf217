import type { LayerPlan } from '../../oci/plan.ts';
import { ArtifactError } from '../../util/error.ts';
import type { Errand } from '../pull/errand.ts';
import type { LayerFetcher } from '../pull/layer-fetcher.ts';

/** How often it is looked whether another pull brings a layer, or its bytes are verified: that takes long, and is silent. */
const listenMs = 1_000;

/**
 * Brings a layer into the cache, from elsewhere if its own download is silent. `heard`: called while it comes, also by
 * another pull, and while it is verified.
 */
export async function bringWhole(
  source: Pick<LayerFetcher, 'bring' | 'isHeld' | 'progress'>,
  layer: LayerPlan,
  errand: Errand,
  heard: () => void,
  signal: AbortSignal,
): Promise<void> {
  const here = (): number => source.progress(layer, errand.content.registry);
  const elsewhere = new AbortController();
  let last = here();
  const wasHeld = await source.isHeld(layer, 'bodies');
  const look = async (): Promise<void> => {
    const now = here();
    const isSilent = now === last && now < layer.descriptor.size;
    last = now;
    if (!isSilent) heard();
    else if (!wasHeld && (await source.isHeld(layer, 'bodies')))
      elsewhere.abort(new ArtifactError('cancelled', 'another source brought the layer'));
  };
  // The download reports what is wrong.
  using _listening = setInterval(() => void look().catch(() => {}), listenMs).unref();
  try {
    await source.bring(layer, errand, AbortSignal.any([signal, elsewhere.signal]));
  } catch (thrown) {
    if (signal.aborted || !elsewhere.signal.aborted) throw thrown;
    await source.bring(layer, errand, signal);
  }
}
