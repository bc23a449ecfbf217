import type { Digest } from '../../oci/digest.ts';
import type { Names, Pins, VolumeRecords } from '../../ports/records.ts';

/** The references that need a digest, from the records of names, pins and volumes; the first 16 of many. */
export type Affected = (digest: Digest) => Promise<readonly string[]>;

/** Thousands may share a layer. */
const mostNamed = 16;

/** The records are read once, when the first digest is looked up: most caches have no damage. */
export function createAffected(world: {
  readonly names: Pick<Names, 'list'>;
  readonly pins: Pick<Pins, 'list'>;
  readonly volumes: Pick<VolumeRecords, 'list'>;
}): Affected {
  let artifacts: Promise<readonly Artifact[]> | undefined;

  const read = async (): Promise<readonly Artifact[]> => {
    const found = new Map<string, Artifact>();
    // The volumes of one artifact have the same digests.
    const add = (reference: string, digest: Digest, holds: readonly Digest[]): void => {
      const key = `${reference} ${digest}`;
      const before = found.get(key)?.holds;
      if (before === undefined) found.set(key, { reference, holds: new Set([digest, ...holds]) });
      else for (const held of holds) before.add(held);
    };
    for (const { reference, descriptor, holds } of await world.names.list())
      add(reference, descriptor.digest, holds);
    for (const { reference, digest, holds } of await world.pins.list()) add(reference, digest, holds);
    for (const { resolved, digest, holds } of await world.volumes.list()) add(resolved, digest, holds);
    return [...found.values()];
  };

  return async digest => {
    artifacts ??= read();
    const needing = (await artifacts).filter(({ holds }) => holds.has(digest));
    return [...new Set(needing.map(({ reference }) => reference))].toSorted().slice(0, mostNamed);
  };
}

/** Returns the pods of the volumes at these targets, or the targets of volumes without one, sorted. */
export async function findOwners(
  targets: readonly string[],
  volumes: Pick<VolumeRecords, 'list'>,
): Promise<readonly string[]> {
  if (targets.length === 0) return [];
  const pods = new Map((await volumes.list()).map(({ targetPath, pod }) => [targetPath, pod] as const));
  const owners = targets.map(target => {
    const pod = pods.get(target);
    return pod === undefined ? target : `${pod.namespace}/${pod.name}`;
  });
  return [...new Set(owners)].toSorted();
}

type Artifact = { readonly reference: string; readonly holds: Set<Digest> };
