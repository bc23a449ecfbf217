import type { Artifacts } from '../ports/usecases.ts';
import { ArtifactError } from '../util/error.ts';

/** The reason why nothing can be stored now; undefined if there is none. */
export type Obstacle = () => string | undefined;

/** @throws ArtifactError `unavailable` with the obstacle. */
export function verifyWritable(obstacle: Obstacle): void {
  const reason = obstacle();
  if (reason !== undefined) throw new ArtifactError('unavailable', reason);
}

/** Refuses operations that change the cache while there is an obstacle. Others continue. */
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
