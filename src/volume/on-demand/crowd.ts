import { ArtifactError } from '../../util/error.ts';

/** The reads of one volume that wait. */
export type Crowd = {
  /**
   * Takes a place for a read, until it is disposed of. `leave`: called if another volume needs the place.
   *
   * @throws `exhausted` if there is no place for this volume.
   */
  enter(leave: (error: ArtifactError) => void): Disposable;
};

type CrowdLimits = { readonly volume: number; readonly all: number };

/**
 * The places of a volume, and of all. The kernel asks for twice as many reads of all volumes at a time, and keeps back
 * others. One thread can begin as many within seconds, because a program that reads ahead does not wait.
 */
const usualLimits: CrowdLimits = { volume: 4096, all: 8192 };

/**
 * Returns what opens the crowd of a volume. When all places are taken, the volume with the most of them loses the one
 * that it took last: each of n volumes can have an nth part of them, however much the others read.
 */
export function createCrowds(limits: CrowdLimits = usualLimits): () => Crowd {
  type Places = Set<(error: ArtifactError) => void>;
  /** Of each volume that has any, in the order in which they were taken. */
  const crowds = new Set<Places>();
  let taken = 0;

  const free = (places: Places, leave: (error: ArtifactError) => void): void => {
    if (places.delete(leave)) taken--;
    if (places.size === 0) crowds.delete(places);
  };
  const makeRoom = (own: Places): void => {
    let largest = own;
    for (const places of crowds) if (places.size > largest.size) largest = places;
    const error = new ArtifactError(
      'exhausted',
      `${limits.all} reads of all volumes wait already, and no volume has more of them than this one`,
    );
    if (largest === own) throw error;
    const last = [...largest].at(-1);
    if (last === undefined) return;
    free(largest, last);
    last(error);
  };

  return () => {
    const places: Places = new Set();
    return {
      enter(leave) {
        if (places.size >= limits.volume)
          throw new ArtifactError('exhausted', `${limits.volume} reads of the volume wait already`);
        if (taken >= limits.all) makeRoom(places);
        crowds.add(places.add(leave));
        taken++;
        return { [Symbol.dispose]: () => free(places, leave) };
      },
    };
  };
}
