import { type Transport, TransportError } from '../../oci/endpoint.ts';
import { ArtifactError, type ErrorCode } from '../../util/error.ts';
import type { FileShare } from '../../util/growing-file.ts';
import type { Allowance } from '../../util/token-bucket.ts';
import type { Head, HttpRequest, LeastRate } from '../http/request.ts';
import { SizeError, StalledError, TransientError, UnreachableError } from '../http/retry.ts';

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

/**
 * An ArtifactError, and of which class it is: retries, mirrors and commands differ by it. `transient`: how long the
 * server asks to wait, in milliseconds.
 */
export type Failure = { readonly code: ErrorCode; readonly message: string } & (
  | { readonly kind: 'plain' }
  | { readonly kind: 'size' }
  | { readonly kind: 'transport'; readonly host: string; readonly transport: Transport }
  | { readonly kind: keyof typeof transients; readonly afterMs: number }
);

const transients: Readonly<Record<'stalled' | 'unreachable' | 'transient', typeof TransientError>> = {
  stalled: StalledError,
  unreachable: UnreachableError,
  transient: TransientError,
};

export function toFailure(thrown: ArtifactError): Failure {
  const { code, message } = thrown;
  if (thrown instanceof SizeError) return { code, message, kind: 'size' };
  if (thrown instanceof TransportError) {
    const { host, transport } = thrown;
    return { code, message, kind: 'transport', host, transport };
  }
  if (!(thrown instanceof TransientError)) return { code, message, kind: 'plain' };
  const { afterMs } = thrown;
  if (thrown instanceof StalledError) return { code, message, kind: 'stalled', afterMs };
  if (thrown instanceof UnreachableError) return { code, message, kind: 'unreachable', afterMs };
  return { code, message, kind: 'transient', afterMs };
}

export function toError(failure: Failure): ArtifactError {
  const { code, message } = failure;
  switch (failure.kind) {
    case 'plain':
      return new ArtifactError(code, message);
    case 'size':
      return new SizeError(message);
    case 'transport':
      return new TransportError(failure.host, failure.transport, message, undefined);
    default:
      return new transients[failure.kind](code, message, undefined, failure.afterMs);
  }
}
