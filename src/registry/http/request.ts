import type { GrowingFile } from '../../util/growing-file.ts';
import type { TlsTrust } from './tls-trust.ts';

/**
 * One request to one server. `insecure`: it may be redirected from https to http. `trust`: how it is to prove itself.
 * `connectMs`: how long a connection may take. `line`: the way of a blob, which may be large. `fence`: there for an
 * address that a server has named.
 */
export type HttpRequest = {
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly insecure: boolean;
  readonly trust: TlsTrust;
  readonly connectMs: number;
  readonly line: { readonly send: Send } | undefined;
  readonly fence?: Fence;
};

/**
 * A server that redirects, or names a token server, must not use this node to reach what only the node reaches: the node
 * itself, its link, and the services that tell a cloud's machines their credentials. A fence is the one local host that
 * such a request may reach all the same, since the registry itself is there; empty for none. A name counts by the
 * addresses that are connected to, whenever it is resolved.
 */
export type Fence = string;

/** Bytes that a server must send in a second, on average over so many milliseconds; 0 for none. */
export type LeastRate = { readonly bytesPerSecond: number; readonly overMs: number };

export const anyRate: LeastRate = { bytesPerSecond: 0, overMs: 60_000 };

/** How long a connection may take, TLS and all, where nothing else is said. */
export const usualConnectMs = 10_000;

/** Status and headers of an answer; names in lower case, repeated ones joined with a comma. */
export type Head = { readonly status: number; readonly headers: Readonly<Record<string, string>> };

/** Why a body may not be what it should: an encoding that nobody asked for. In parentheses, or empty. */
export function describeEncoding(headers: Head['headers']): string {
  const encoding = headers['content-encoding'] ?? 'identity';
  return encoding.toLowerCase() === 'identity'
    ? ''
    : ` (with Content-Encoding ${encoding.slice(0, 40)}, which was not asked for)`;
}

/**
 * Takes a piece of a body before it returns: its memory is used again. Where there is a `file`, another thread may write
 * the body to that instead, but for its first `past` bytes.
 */
export type Receiver = {
  (chunk: Uint8Array): void;
  readonly file?: GrowingFile | undefined;
  readonly past?: number;
};

/** Judges a head and says where its body goes. */
export type Accept = (head: Head) => Receiver;

/**
 * Sends one request, without following anything, and returns when the body has been received to its proper end.
 * What `accept` or the receiver throws ends the connection and is thrown on.
 *
 * @throws Passing for what may pass: no connection, an end in mid-body, a stall; ArtifactError `unavailable` for what
 *   does not: a certificate that cannot be verified; `cancelled`.
 */
export type Send = (request: HttpRequest, accept: Accept, signal: AbortSignal) => Promise<Head>;

/** Hands over all but the first `bytes`. */
export function passOver(bytes: number, take: (chunk: Uint8Array) => void): (chunk: Uint8Array) => void {
  let left = bytes;
  return chunk => {
    const rest = chunk.subarray(left);
    left -= chunk.length - rest.length;
    if (rest.length > 0) take(rest);
  };
}

/** A receiver that keeps up to `limit` bytes, and what it kept; for more it throws `excess`. */
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
