import type { Plan } from '../../oci/plan.ts';
import type { Blobs, Layers } from '../../ports/store.ts';
import { startPace } from '../../util/pace.ts';
import type { Possession } from '../access/access-check.ts';

/** @throws ArtifactError `not-found` naming a layer that is not cached, or cached for others only. */
export async function verifyLayers(
  { blobs, layers }: { readonly blobs: Pick<Blobs, 'size'>; readonly layers: Pick<Layers, 'has'> },
  plan: Plan,
  { missing, isGiven }: Possession,
  signal: AbortSignal,
): Promise<void> {
  const pace = startPace(signal);
  for (const { descriptor, form, label } of plan.layers) {
    const { digest, data } = descriptor;
    if (data !== undefined) continue;
    const isBlob = (await blobs.size(digest)) !== undefined;
    const isHeld = isBlob || (form !== 'file' && (await layers.has(digest)));
    if (!isHeld || !isGiven(digest)) throw missing(label, digest);
    const rest = pace();
    if (rest !== undefined) await rest;
  }
}
