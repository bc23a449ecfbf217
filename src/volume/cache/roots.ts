import type { Digest } from '../../oci/digest.ts';
import type { Mounter } from '../../ports/mounter.ts';
import type { Complete, NameRecord, PinRecord, VolumeRecord } from '../../ports/records.ts';
import type { View, Views } from '../../ports/store.ts';
import { shownKeys } from './shown.ts';

/** The roots of garbage collection at one moment. Leases of pulls in progress are roots, too (leases.ts). */
export type Roots = {
  /** The digests of volumes, mounts and pins. Garbage collection never removes them. */
  readonly fixed: ReadonlySet<Digest>;
  /** Names keep their digests until garbage collection ends them. */
  readonly names: readonly NameRecord[];
  /** Keys of the views that volumes show, or showed before a reboot. */
  readonly shown: ReadonlySet<string>;
};

/** @throws ArtifactError `internal` naming a record that cannot be read, because its digests are unknown. */
export async function readRoots(world: {
  readonly names: Complete<NameRecord>;
  readonly volumes: Complete<VolumeRecord>;
  readonly pins: Complete<PinRecord>;
  readonly views: Pick<Views, 'find'>;
  readonly mounter: Pick<Mounter, 'list'>;
  readonly viewsDirectory: string;
}): Promise<Roots> {
  // In sequence, so that the error always names the same unreadable record.
  const volumes = await world.volumes.listAll();
  const pins = await world.pins.listAll();
  const names = await world.names.listAll();
  const mounted = shownKeys(await world.mounter.list(world.viewsDirectory), world.viewsDirectory);

  const fixed = new Set<Digest>();
  for (const { holds } of [...volumes, ...pins]) for (const digest of holds) fixed.add(digest);
  // A mount without a record, for example after a power loss, is a volume, too.
  for (const key of mounted) {
    const view = await world.views.find(key);
    for (const digest of view === undefined ? [] : contentOf(view)) fixed.add(digest);
  }
  return { fixed, names, shown: new Set([...mounted, ...volumes.map(volume => volume.view)]) };
}

/** What a view was built of. */
export function contentOf({ manifest, blobs, layers }: View): ReadonlySet<Digest> {
  return new Set([manifest, ...blobs, ...layers]);
}
