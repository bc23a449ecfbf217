import { ArtifactError, type ErrorCode } from '../../util/error.ts';

/** What another place may do better. The rest is the caller's, or the disk's. */
const ofPlace: ReadonlySet<ErrorCode> = new Set([
  'not-found',
  'unauthenticated',
  'denied',
  'unmountable',
  'corrupt',
  'unavailable',
]);

/** Whether another place, or another way to ask, may do better. */
export function isOfPlace(thrown: unknown): thrown is ArtifactError {
  return thrown instanceof ArtifactError && ofPlace.has(thrown.code);
}
