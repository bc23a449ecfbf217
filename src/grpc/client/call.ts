import {
  type Client,
  connectivityState,
  type requestCallback,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { ArtifactError, type ErrorCode, toArtifactError } from '../../util/error.ts';
import { errorCodeOf } from '../edge/status.ts';

/** For a status without one of our codes: gRPC's own, or that of an older daemon. */
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
type Followed<Message> = AsyncIterable<Message> & Cancellable;

/**
 * Calls the daemon behind a socket. A call ends with its signal, and then throws the signal's reason.
 *
 * @throws ArtifactError as the daemon threw it; `unavailable` if the daemon ends during the call or does not listen.
 */
export type ClientCalls = {
  /** The answer of a unary call. */
  ask<Answer>(start: (done: requestCallback<Answer>) => Cancellable, signal?: AbortSignal): Promise<Answer>;
  /** The messages of a streaming call. */
  follow<Message>(start: () => Followed<Message>, signal: AbortSignal): AsyncGenerator<Message>;
};

export function openCalls(client: Pick<Client, 'getChannel'>, socketPath: string): ClientCalls {
  const toThrown = (error: unknown, signal?: AbortSignal): ArtifactError => {
    if (signal?.aborted === true) return toArtifactError(signal.reason);
    if (!isServiceError(error)) return toArtifactError(error);
    const code = errorCodeOf(error.metadata) ?? codes[error.code] ?? 'internal';
    // Without a connection, the details come from the client, and do not help users.
    const isGone = client.getChannel().getConnectivityState(false) !== connectivityState.READY;
    if (!isGone || error.code !== status.UNAVAILABLE) return new ArtifactError(code, error.details, error);
    const why = `the daemon at unix://${socketPath} has ended, or does not listen; its log may say why`;
    return new ArtifactError(code, why, error);
  };
  return {
    async ask<Answer>(start: (done: requestCallback<Answer>) => Cancellable, signal?: AbortSignal) {
      signal?.throwIfAborted();
      const { promise, resolve, reject } = Promise.withResolvers<Answer>();
      const call = start((error, answer) => {
        if (error !== null) reject(toThrown(error, signal));
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
    },
    async *follow(start, signal) {
      signal.throwIfAborted();
      // Read from its first moment on: the error of a cancelled call that nothing reads would end the process.
      const call = start();
      const cancel = (): void => call.cancel();
      signal.addEventListener('abort', cancel, { once: true });
      try {
        yield* call;
      } catch (error) {
        throw toThrown(error, signal);
      } finally {
        signal.removeEventListener('abort', cancel);
        call.cancel();
      }
    },
  };
}

/** What an answer or a stream brought. @throws if that is nothing. */
export function resultOf<Answer>(answer: Answer | undefined): Answer {
  if (answer !== undefined) return answer;
  throw new ArtifactError('internal', 'the daemon ended the call without its result; its log says why');
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'details' in error && 'metadata' in error;
}
