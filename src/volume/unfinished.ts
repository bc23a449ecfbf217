import type { PublishRequest } from '../ports/request.ts';
import type { Progress, Wanter } from '../ports/usecases.ts';
import { DeadlineNear } from '../util/deadline-near.ts';
import { ArtifactError, toArtifactError } from '../util/error.ts';
import { describeNext, describeProgress } from './pull/progress-text.ts';
import type { Flight } from './pull/single-flight.ts';

/**
 * The end of a call before its volume is mounted. `isFailing`: the call waited for a registry that fails, and until the
 * next call nothing is pulled for the volume, so that no list of pulls shows it.
 */
type Unfinished = { readonly error: ArtifactError; readonly isFailing: boolean };

/** `pulls`: what is pulled without this call. */
export function toUnfinished(
  { reference, targetPath, anywhere }: Pick<PublishRequest, 'reference' | 'targetPath' | 'anywhere'>,
  reason: unknown,
  latest: Progress | undefined,
  pulls: readonly Pick<Flight<Progress, Wanter>, 'wanters'>[],
): Unfinished {
  if (!(reason instanceof DeadlineNear)) {
    const error = toArtifactError(reason);
    const isTold = error.code !== 'internal';
    return {
      error: isTold ? error : new ArtifactError('cancelled', 'the caller went away', reason),
      isFailing: false,
    };
  }
  const isUnderWay = pulls.some(({ wanters }) => wanters.some(wanter => wanter.targetPath === targetPath));
  const hasBegun = isUnderWay || (latest !== undefined && latest.phase !== 'resolve');
  const state = hasBegun ? `${reference} is still being pulled` : `the pull of ${reference} has not begun`;
  const next = describeNext(latest, isUnderWay && !anywhere);
  return {
    error: new ArtifactError('busy', `${state}: ${describeProgress(latest)}; ${next}`),
    // What a pull waits for before it begins is a registry that failed.
    isFailing: !anywhere && !hasBegun && latest?.waits !== undefined,
  };
}
