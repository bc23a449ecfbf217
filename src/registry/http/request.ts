import { createByteCollector } from '../../util/byte-collector.ts';
import { ArtifactError } from '../../util/error.ts';
import type { GrowingFile } from '../../util/growing-file.ts';
import { formatSeconds } from '../../util/retry.ts';
import { formatSize } from '../../util/size.ts';
import type { Allowance } from '../../util/token-bucket.ts';
import type { HostOrigin } from './host-origin.ts';
import type { TlsTrust } from './tls.ts';

/**
 * One request to one server. `insecure`: a redirect from https to http is allowed. `trust`: how the server is verified.
 * `connectMs`: the time limit for a connection. `responseMs`: the one for the first byte, if it is not that of every
 * other silence. `origin`: how the node came to the server, for advice. `transport`: for a blob, which may be large.
 * `fence`: present if a server named the URL. `purpose`: for its report.
 */
export type HttpRequest = {
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly insecure: boolean;
  readonly trust: TlsTrust;
  readonly connectMs: number;
  readonly responseMs?: number | undefined;
  readonly origin: HostOrigin;
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

/** The methods of requests without a body. */
export type PlainMethod = 'GET' | 'HEAD';

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
 * Consumes a chunk of a body before it returns, because its memory is reused. If it returns a promise, which never
 * rejects, the reading pauses until that resolves; bytes that still arrive are accepted. If there is a `file`, another
 * thread may write the body there instead, except its first `past` bytes, and receives all of it from the `allowances`.
 */
export type Receiver = {
  (chunk: Uint8Array): Promise<void> | void;
  readonly file?: GrowingFile | undefined;
  readonly past?: number;
  readonly allowances?: readonly Allowance[];
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
  const kept = createByteCollector(limit);
  return {
    receive(chunk) {
      if (!kept.add(chunk)) throw excess();
    },
    bytes: kept.bytes,
  };
}

/**
 * Ends a response that is too slow, which the stall time does not: a server that sends a byte now and then would hold a
 * connection, a slot and a file for ever. Another attempt would be as slow, so the error is not transient.
 *
 * @param received returns the bytes so far; undefined while the receiver, not the server, is waiting.
 */
export function watchRate(
  rate: LeastRate,
  url: URL,
  received: () => number | undefined,
  end: (failure: ArtifactError) => void,
): Disposable {
  if (rate.bytesPerSecond === 0) return { [Symbol.dispose]() {} };
  let before = received() ?? 0;
  const look = (): void => {
    const now = received();
    const came = (now ?? 0) - before;
    before = now ?? before;
    if (now !== undefined && came < (rate.bytesPerSecond * rate.overMs) / 1000)
      end(tooSlow(rate, url.host, came, rate.overMs));
  };
  return setInterval(look, rate.overMs).unref();
}

/** @param came the bytes that came in `ms` milliseconds. */
export function tooSlow(
  { bytesPerSecond }: LeastRate,
  host: string,
  came: number,
  ms: number,
): ArtifactError {
  return new ArtifactError(
    'unavailable',
    `${host} sent ${formatSize(came)} in ${formatSeconds(ms)}, which is less than the ${formatSize(bytesPerSecond)}/s of --min-download-rate; the download was ended, and goes on from there when it is asked for again`,
  );
}

/** The maximum bytes of a response head. */
export const maxHeadBytes: number = 16 * 1024;

/**
 * The parsed start of a response. `plain`: its body is the `contentLength` bytes after `headBytes`, and if it `lasts`
 * the connection can be reused. `other`: anything else, valid or not, which a full HTTP client must handle.
 */
export type ResponseStart =
  | { readonly kind: 'incomplete' }
  | {
      readonly kind: 'plain';
      readonly status: number;
      readonly headers: Readonly<Record<string, string>>;
      readonly headBytes: number;
      readonly contentLength: number;
      readonly lasts: boolean;
    }
  | { readonly kind: 'other' };

/** Far above any server's. Each field takes more memory than its bytes. */
const maxFields = 128;
const incomplete: ResponseStart = { kind: 'incomplete' };
const other: ResponseStart = { kind: 'other' };
const visible = String.raw`[\t\x20-\x7e\x80-\xff]*`;
const fieldText = String.raw`[\w!#$%&'*+.^\x60|~-]+:${visible}`;
const field = new RegExp(`^${fieldText}$`);
/** A complete head without its last line end: the status line `HTTP/1.x 200 …`, then fields. */
const wholeHead = new RegExp(String.raw`^HTTP/1\.[01] [2-5]\d\d(?: ${visible})?(?:\r\n${fieldText})*$`);

/**
 * Parses a response head strictly (RFC 9112): no line folding, no bare CR or LF, at most 128 fields, no 1xx, and for a
 * GET one Content-Length of digits and no Transfer-Encoding. The response to a HEAD has no body, whatever its fields
 * say. Header names are in lower case, repeated ones joined with a comma.
 */
export function parseResponseStart(bytes: Uint8Array, method: PlainMethod = 'GET'): ResponseStart {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, maxHeadBytes));
  const end = buffer.indexOf('\r\n\r\n');
  if (end < 0) return bytes.length < maxHeadBytes ? incomplete : other;
  const head = buffer.toString('latin1', 0, end);
  if (!wholeHead.test(head)) return other;
  const [first = '', ...lines] = head.split('\r\n');
  if (lines.length > maxFields) return other;
  const headers: Record<string, string> = Object.create(null);
  for (const line of lines) {
    const colon = line.indexOf(':');
    const key = line.slice(0, colon).toLowerCase();
    const value = trimBlanks(line.slice(colon + 1));
    headers[key] = key in headers ? `${headers[key]}, ${value}` : value;
  }
  const length = method === 'HEAD' ? '0' : headers['content-length'];
  if (length === undefined || !/^\d{1,15}$/.test(length)) return other;
  if (method === 'GET' && 'transfer-encoding' in headers) return other;
  return {
    kind: 'plain',
    status: Number(first.slice(9, 12)),
    headers,
    headBytes: end + 4,
    contentLength: Number(length),
    lasts: first[7] === '1' && !(headers['connection'] ?? '').toLowerCase().includes('close'),
  };
}

/** Removes surrounding blanks: `trim` removes more, and a regular expression could take quadratic time. */
function trimBlanks(text: string): string {
  let [from, to] = [0, text.length];
  while (from < to && isBlank(text[from])) from++;
  while (from < to && isBlank(text[to - 1])) to--;
  return text.slice(from, to);
}

function isBlank(character: string | undefined): boolean {
  return character === ' ' || character === '\t';
}

/** Formats a request on a connection that may be reused. @throws Error if a header cannot be sent unchanged. */
export function formatRequest(method: PlainMethod, url: URL, headers: Head['headers']): string {
  const lines = [`${method} ${url.pathname}${url.search} HTTP/1.1`, `host: ${url.host}`];
  for (const [name, value] of Object.entries(headers)) {
    if (!field.test(`${name}: ${value}`))
      throw new Error(`the header ${JSON.stringify(name)} cannot be sent`);
    lines.push(`${name}: ${value}`);
  }
  return `${lines.join('\r\n')}\r\n\r\n`;
}
