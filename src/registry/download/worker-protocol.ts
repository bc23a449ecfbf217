import { ArtifactError, type ErrorCode } from '../../util/error.ts';
import type { FileShare } from '../../util/growing-file.ts';
import type { Allowance } from '../../util/token-bucket.ts';
import type { Head, HttpRequest, LeastRate } from '../http/request.ts';
import { StalledError, TransientError } from '../http/retry.ts';

/** The part of a request that another thread can receive. */
export type RequestShare = Pick<
  HttpRequest,
  'headers' | 'trust' | 'connectMs' | 'responseMs' | 'origin' | 'fence'
> & {
  readonly url: string;
};

/** `stallMs`: milliseconds that a server may send nothing. */
export type WorkerSettings = {
  readonly stallMs: number;
  readonly leastRate?: LeastRate;
};

/**
 * The questions to a worker. `open` is the first. `get` is answered when the head has arrived. The call then waits for
 * `pour` (the body except its first `past` bytes goes into a file, and is hashed on the way if the transport's hash is
 * computed there) or `rest` (the start of the body, in the answer); both are answered at the end of the body, which
 * ends the call. `leave` ends it in any state. `hash` hashes some more of the file, and answers the hash of all when
 * there is no more. `close` forgets a transport.
 */
export type WorkerQuestion =
  | ({ readonly kind: 'open' } & WorkerSettings)
  | { readonly kind: 'hash'; readonly transport: number; readonly file: FileShare }
  | { readonly kind: 'get'; readonly call: number; readonly request: RequestShare }
  | {
      readonly kind: 'pour';
      readonly call: number;
      readonly transport: number;
      readonly file: FileShare;
      readonly past: number;
      readonly hashes: boolean;
      readonly allowances: readonly Allowance[];
    }
  | { readonly kind: 'rest' | 'leave'; readonly call: number }
  | { readonly kind: 'close'; readonly transport: number };

/** `otherwise`: the response was not plain, and the fallback must be used. `hex`: the hash of the whole, if known. */
export type WorkerAnswer =
  | { readonly kind: 'done' }
  | { readonly kind: 'hash'; readonly hex: string | undefined }
  | { readonly kind: 'head'; readonly head: Head }
  | { readonly kind: 'otherwise' }
  | { readonly kind: 'ended'; readonly rest?: Uint8Array; readonly hex?: string | undefined }
  | { readonly kind: 'failed'; readonly failure: Failure };

/** An ArtifactError, and whether it is transient. */
export type Failure = {
  readonly code: ErrorCode;
  readonly message: string;
  readonly transient?: { readonly stall: boolean; readonly afterMs: number };
};

export function toFailure(thrown: ArtifactError): Failure {
  const { code, message } = thrown;
  if (!(thrown instanceof TransientError)) return { code, message };
  return { code, message, transient: { stall: thrown instanceof StalledError, afterMs: thrown.afterMs } };
}

export function toError({ code, message, transient }: Failure): ArtifactError {
  if (transient === undefined) return new ArtifactError(code, message);
  return new (transient.stall ? StalledError : TransientError)(code, message, undefined, transient.afterMs);
}
