import { ArtifactError, type ErrorCode } from '../../util/error.ts';
import type { FileShare } from '../../util/growing-file.ts';
import type { Head, HttpRequest, LeastRate } from '../http/request.ts';
import { TransientError, StalledError } from '../http/retry.ts';

/** Of a request what another thread can be given. */
export type RequestShare = Pick<HttpRequest, 'headers' | 'trust' | 'connectMs' | 'fence'> & {
  readonly url: string;
};

/** `stallMs`: how long a server may send nothing. */
export type WorkerSettings = {
  readonly stallMs: number;
  readonly leastRate?: LeastRate;
};

/**
 * What a thread of lines is asked. First `open`. `get` answers when the head is there, and then the call waits for
 * `pour` (the body but for its first `past` bytes, into a file, and hashed on the way where the line's hash is computed
 * there) or `rest` (the start of it, in the answer), answered at its end. `leave` ends it, wherever it is, and forgets
 * it. `hash` goes on for a step with what is in the file, and answers the hash of all when there is no more; `close`
 * forgets a line.
 */
export type WorkerQuestion =
  | ({ readonly kind: 'open' } & WorkerSettings)
  | { readonly kind: 'hash'; readonly line: number; readonly file: FileShare }
  | { readonly kind: 'get'; readonly call: number; readonly request: RequestShare }
  | {
      readonly kind: 'pour';
      readonly call: number;
      readonly line: number;
      readonly file: FileShare;
      readonly past: number;
      readonly hashes: boolean;
    }
  | { readonly kind: 'rest' | 'leave'; readonly call: number }
  | { readonly kind: 'close'; readonly line: number };

/** `otherwise`: it did not answer plainly, and shall be asked by another way. */
export type WorkerAnswer =
  | { readonly kind: 'done' }
  | { readonly kind: 'hash'; readonly hex: string | undefined }
  | { readonly kind: 'head'; readonly head: Head }
  | { readonly kind: 'otherwise' }
  | { readonly kind: 'ended'; readonly rest?: Uint8Array }
  | { readonly kind: 'failed'; readonly failure: Failure };

/** An ArtifactError, and whether it may pass. */
export type Failure = {
  readonly code: ErrorCode;
  readonly message: string;
  readonly passing?: { readonly stall: boolean; readonly afterMs: number };
};

export function toFailure(thrown: ArtifactError): Failure {
  const { code, message } = thrown;
  if (!(thrown instanceof TransientError)) return { code, message };
  return { code, message, passing: { stall: thrown instanceof StalledError, afterMs: thrown.afterMs } };
}

export function toError({ code, message, passing }: Failure): ArtifactError {
  if (passing === undefined) return new ArtifactError(code, message);
  return new (passing.stall ? StalledError : TransientError)(code, message, undefined, passing.afterMs);
}
