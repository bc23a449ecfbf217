import type { Digest } from '../../oci/digest.ts';
import type { Names, Pins, Root, VolumeRecords } from '../../ports/records.ts';

/** The users of these digests, as text for messages: references, then pins and volumes. */
export async function findKeepers(
  world: {
    readonly names: Pick<Names, 'list'>;
    readonly pins: Pick<Pins, 'list'>;
    readonly volumes: Pick<VolumeRecords, 'list'>;
  },
  digests: readonly Digest[],
): Promise<readonly string[]> {
  const wanted = new Set(digests);
  const holdsSome = ({ holds }: Root): boolean => holds.some(digest => wanted.has(digest));
  const [names, pins, volumes] = await Promise.all([
    world.names.list(),
    world.pins.list(),
    world.volumes.list(),
  ]);
  const named = names.filter(holdsSome).map(({ reference }) => reference);
  const pinned = pins.filter(holdsSome).map(({ reference }) => `the pin of ${reference}`);
  const shown = volumes.filter(holdsSome).map(({ targetPath }) => `the volume at ${targetPath}`);
  return [named, pinned, shown].flatMap(keepers => keepers.toSorted());
}
