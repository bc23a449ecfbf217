import type { Artifacts } from '../ports/usecases.ts';
import { ArtifactError } from '../util/error.ts';

/** Why nothing new can be stored, if so. */
export type Obstacle = () => string | undefined;

/** @throws `unavailable` with the obstacle, before anything is asked or begun. */
export function verifyWritable(obstacle: Obstacle): void {
  const reason = obstacle();
  if (reason !== undefined) throw new ArtifactError('unavailable', reason);
}

/** Refuses what changes the cache while there is an obstacle. What only reads goes on. */
export function guardWrites(artifacts: Artifacts, obstacle: Obstacle): Artifacts {
  const guard =
    <Given extends readonly unknown[], Answer>(change: (...given: Given) => Promise<Answer>) =>
    async (...given: Given): Promise<Answer> => {
      verifyWritable(obstacle);
      return change(...given);
    };
  const { pull, load, remove, prune, pin, unpin, fsck } = artifacts;
  const repair = guard(fsck);
  return {
    ...artifacts,
    pull: guard(pull),
    load: guard(load),
    remove: guard(remove),
    prune: guard(prune),
    pin: guard(pin),
    unpin: guard(unpin),
    fsck: (...given) => (given[0] ? repair(...given) : fsck(...given)),
  };
}
