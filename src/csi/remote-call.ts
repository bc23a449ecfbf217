import { type requestCallback, type ServiceError, status } from '@grpc/grpc-js';
import { ArtifactError, type ErrorCode, toArtifactError } from '../util/error.ts';

/** What the statuses of csi/status.ts say again; two codes share UNAVAILABLE. */
const codes: Readonly<Partial<Record<status, ErrorCode>>> = {
  [status.INVALID_ARGUMENT]: 'invalid',
  [status.ALREADY_EXISTS]: 'exists',
  [status.NOT_FOUND]: 'not-found',
  [status.UNAUTHENTICATED]: 'unauthenticated',
  [status.PERMISSION_DENIED]: 'denied',
  [status.FAILED_PRECONDITION]: 'unmountable',
  [status.UNAVAILABLE]: 'unavailable',
  [status.DEADLINE_EXCEEDED]: 'unavailable',
  [status.ABORTED]: 'busy',
  [status.CANCELLED]: 'cancelled',
  [status.RESOURCE_EXHAUSTED]: 'exhausted',
  [status.UNIMPLEMENTED]: 'unimplemented',
};

type Cancellable = { cancel(): void };

/** The answer of a call of one message, which ends with the signal. @throws ArtifactError as the daemon threw it. */
export async function ask<Answer>(
  start: (done: requestCallback<Answer>) => Cancellable,
  signal?: AbortSignal,
): Promise<Answer> {
  signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const call = start((error, answer) => {
    if (error !== null) reject(toThrown(error));
    else if (answer === undefined) reject(new ArtifactError('internal', 'the daemon sent no answer'));
    else resolve(answer);
  });
  const cancel = (): void => call.cancel();
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    return await promise;
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
}

/** The messages of a call, which ends with the signal. @throws ArtifactError as the daemon threw it. */
export async function* follow<Message>(
  call: AsyncIterable<Message> & Cancellable,
  signal: AbortSignal,
): AsyncGenerator<Message> {
  const cancel = (): void => call.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  try {
    signal.throwIfAborted();
    yield* call;
  } catch (error) {
    throw toThrown(error);
  } finally {
    signal.removeEventListener('abort', cancel);
    call.cancel();
  }
}

/** Of one message of the stream it must have: its last. */
export function lastOf<Answer>(answer: Answer | undefined): Answer {
  if (answer !== undefined) return answer;
  throw new ArtifactError('internal', 'the daemon ended the call without its result; its log says why');
}

function toThrown(error: unknown): ArtifactError {
  if (!isServiceError(error)) return toArtifactError(error);
  return new ArtifactError(codes[error.code] ?? 'internal', error.details, error);
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'details' in error && 'metadata' in error;
}
