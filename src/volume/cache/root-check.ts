import type { Digest } from '../../oci/digest.ts';
import type { Pins, VolumeRecords } from '../../ports/records.ts';
import type { Blobs, Layers, Views } from '../../ports/store.ts';
import { startPace } from '../../util/pace.ts';
import { isCached } from './items.ts';

/** A root whose content is not completely cached. `name` is a target path or a reference. */
export type BrokenRoot = { readonly name: string; readonly reference: string; readonly problem: string };

/**
 * Finds volumes and pins with digests that are cached neither as a blob nor as a layer. Names are not checked: what
 * they lack is pulled again when needed.
 */
export async function findBrokenRoots(
  world: {
    readonly volumes: Pick<VolumeRecords, 'list'>;
    readonly pins: Pick<Pins, 'list'>;
    readonly blobs: Pick<Blobs, 'size'>;
    readonly layers: Pick<Layers, 'has'>;
    readonly views: Pick<Views, 'find'>;
  },
  signal: AbortSignal,
): Promise<readonly BrokenRoot[]> {
  const known = new Map<Digest, boolean>();
  const pace = startPace(signal);

  const isHere = async (digest: Digest): Promise<boolean> => {
    const before = known.get(digest);
    if (before !== undefined) return before;
    await pace();
    const found = await isCached(world, digest);
    known.set(digest, found);
    return found;
  };

  const roots = [
    ...(await world.volumes.list()).map(({ targetPath, resolved, holds, view }) => ({
      name: targetPath,
      reference: resolved,
      what: `the volume of ${resolved}`,
      holds,
      view,
    })),
    ...(await world.pins.list()).map(({ reference, holds }) => ({
      name: reference,
      reference,
      what: 'the pin',
      holds,
      view: undefined,
    })),
  ];
  const broken: BrokenRoot[] = [];
  for (const { name, reference, what, holds, view } of roots) {
    const lacking: Digest[] = [];
    for (const digest of holds) if (!(await isHere(digest))) lacking.push(digest);
    const shown = view === undefined || lacking.length === 0 ? undefined : await world.views.find(view);
    const coming = new Set(shown?.late === true ? shown.blobs : []); // they may still come
    const missing = lacking.filter(digest => !coming.has(digest));
    if (missing.length > 0)
      broken.push({ name, reference, problem: `${what} holds ${formatMissing(missing)}` });
  }
  return broken;
}

function formatMissing([first, ...others]: readonly Digest[]): string {
  const more = others.length === 0 ? '' : ` and ${others.length} more`;
  return `${first}${more}, which the cache lacks: the next pull of it brings that again`;
}
