import { ArtifactError, type ErrorCode } from '../../util/error.ts';

/** The codes of errors that another upstream may avoid. Other errors are the caller's or the disk's. */
const endpointErrors: ReadonlySet<ErrorCode> = new Set([
  'not-found',
  'unauthenticated',
  'denied',
  'unmountable',
  'corrupt',
  'unavailable',
]);

/** Whether another upstream, or another kind of request, may succeed. */
export function isEndpointError(thrown: unknown): thrown is ArtifactError {
  return thrown instanceof ArtifactError && endpointErrors.has(thrown.code);
}
