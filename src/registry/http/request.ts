import type { GrowingFile } from '../../util/growing-file.ts';
import type { TlsTrust } from './tls-trust.ts';

/**
 * One request to one server. `insecure`: a redirect from https to http is allowed. `trust`: how the server is verified.
 * `connectMs`: the time limit for a connection. `transport`: for a blob, which may be large. `fence`: present
 * if a server named the URL. `purpose`: for its report.
 */
export type HttpRequest = {
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly insecure: boolean;
  readonly trust: TlsTrust;
  readonly connectMs: number;
  readonly transport: { readonly send: Send } | undefined;
  readonly fence?: Fence;
  readonly purpose?: RequestPurpose;
};

/** The registry that the host mirrors, and the source of the credential that may be sent. */
export type RequestPurpose = { readonly mirrorOf?: string; readonly credential?: string };

/**
 * A server that redirects, or names a token server, must not use this node to reach what only the node can reach: the
 * node itself, its link, and the metadata services of clouds. A fence is the one local host that such a request may
 * still reach, because the registry itself is there; empty for none. A name counts by the addresses of each connection,
 * whenever it is resolved.
 */
export type Fence = string;

/** The bytes per second that a server must send, on average over so many milliseconds; 0 for no limit. */
export type LeastRate = { readonly bytesPerSecond: number; readonly overMs: number };

export const anyRate: LeastRate = { bytesPerSecond: 0, overMs: 60_000 };

/** The default time limit for a connection, including TLS. */
export const usualConnectMs = 10_000;

/** Status and headers of a response. Names are in lower case; repeated ones are joined with a comma. */
export type Head = { readonly status: number; readonly headers: Readonly<Record<string, string>> };

/** Why a body may be unexpected: an encoding that was not requested. In parentheses, or empty. */
export function describeEncoding(headers: Head['headers']): string {
  const encoding = headers['content-encoding'] ?? 'identity';
  return encoding.toLowerCase() === 'identity'
    ? ''
    : ` (with Content-Encoding ${encoding.slice(0, 40)}, which was not asked for)`;
}

/**
 * Consumes a chunk of a body before it returns, because its memory is reused. If there is a `file`, another thread may
 * write the body there instead, except its first `past` bytes.
 */
export type Receiver = {
  (chunk: Uint8Array): void;
  readonly file?: GrowingFile | undefined;
  readonly past?: number;
};

/** Checks a head and returns the receiver of its body. */
export type Accept = (head: Head) => Receiver;

/**
 * Sends one request, follows nothing, and returns when the body has been received to its end. What `accept` or the
 * receiver throws closes the connection and is thrown on.
 *
 * @throws TransientError: no connection, an end in mid-body, a stall; ArtifactError `unavailable` for permanent
 *   failures, such as a certificate that cannot be verified; `cancelled`.
 */
export type Send = (request: HttpRequest, accept: Accept, signal: AbortSignal) => Promise<Head>;

/** Passes on all but the first `bytes`, and returns what `take` returns. */
export function skip<T>(bytes: number, take: (chunk: Uint8Array) => T): (chunk: Uint8Array) => T | undefined {
  let left = bytes;
  return chunk => {
    const rest = chunk.subarray(left);
    left -= chunk.length - rest.length;
    return rest.length > 0 ? take(rest) : undefined;
  };
}

/** Returns a receiver that keeps up to `limit` bytes, and the kept bytes. For more it throws `excess`. */
export function collect(limit: number, excess: () => Error): { receive: Receiver; bytes(): Buffer } {
  const chunks: Buffer[] = [];
  let length = 0;
  return {
    receive(chunk) {
      length += chunk.length;
      if (length > limit) throw excess();
      chunks.push(Buffer.from(chunk));
    },
    bytes: () => Buffer.concat(chunks),
  };
}
