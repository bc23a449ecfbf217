import { setTimeout as sleep } from 'node:timers/promises';
import { type Reply, refuse } from '../../../src/cli/demo/registry.ts';

/** A fault of one response. Byte counts are of the body. */
export type Fault =
  /** The connection ends after so many bytes. */
  | { readonly kind: 'cut'; readonly after: number }
  /** The response stops after so many bytes, and the connection stays. */
  | { readonly kind: 'stall'; readonly after: number }
  /** The response stops after so many bytes until a promise resolves. `of`: another fault that it has. */
  | {
      readonly kind: 'hold';
      readonly after: number;
      readonly until: Promise<unknown>;
      readonly of?: Fault;
    }
  /** Nothing is sent for so many milliseconds. */
  | { readonly kind: 'late'; readonly ms: number }
  /** So many bytes per second, in chunks of at most 64 KiB. */
  | { readonly kind: 'slow'; readonly bytesPerSecond: number }
  /** Every byte is changed. */
  | { readonly kind: 'wrong-bytes' }
  /** The last byte is changed. */
  | { readonly kind: 'wrong-end' }
  /** No Content-Length; with `bytes`, a body cut or padded to that length. */
  | { readonly kind: 'chunked'; readonly bytes?: number }
  /** Headers replaced, or removed if undefined. The body stays, and the connection ends after it. */
  | { readonly kind: 'headers'; readonly headers: Readonly<Record<string, string | undefined>> }
  /** An error of the registry, in the form of the distribution spec. */
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly retryAfter?: string;
      readonly code?: string;
      readonly message?: string;
    }
  /** 307 to another URL. */
  | { readonly kind: 'redirect'; readonly to: string }
  /** As if the request had no Range. */
  | { readonly kind: 'no-range' }
  /** These bytes instead of an HTTP response, then the connection ends. */
  | { readonly kind: 'raw'; readonly text: string };

/**
 * Returns a reply with a fault. `late`, `no-range` and `raw` are implemented elsewhere: before the reply and instead of
 * it.
 */
export function spoil(reply: Reply, fault: Fault): Reply {
  switch (fault.kind) {
    case 'cut':
      return { ...reply, body: cut(reply.body, fault.after) };
    case 'stall':
      return { ...reply, body: stall(reply.body, fault.after) };
    case 'hold': {
      const { body, ...head } = fault.of === undefined ? reply : spoil(reply, fault.of);
      return { ...head, body: hold(body, fault.after, fault.until) };
    }
    case 'slow':
      return { ...reply, body: pace(reply.body, fault.bytesPerSecond) };
    case 'wrong-bytes':
      return { ...reply, body: flip(reply.body) };
    case 'wrong-end':
      return { ...reply, body: flipLast(reply.body) };
    case 'chunked':
      return {
        ...reply,
        headers: without(reply.headers, 'content-length'),
        body: fault.bytes === undefined ? reply.body : fit(reply.body, fault.bytes),
      };
    case 'headers':
      return {
        ...reply,
        headers: Object.fromEntries(
          Object.entries({ ...reply.headers, connection: 'close', ...fault.headers }).filter(
            (header): header is [string, string] => header[1] !== undefined,
          ),
        ),
      };
    case 'status': {
      const refusal = refuse(fault.status, fault.code ?? 'UNKNOWN', fault.message ?? 'a fault for the test');
      if (fault.retryAfter === undefined) return refusal;
      return { ...refusal, headers: { ...refusal.headers, 'retry-after': fault.retryAfter } };
    }
    case 'redirect':
      return { status: 307, headers: { location: fault.to, 'content-length': '0' }, body: [] };
    case 'late':
    case 'no-range':
    case 'raw':
      return reply;
  }
}

function without(headers: Reply['headers'], name: string): Reply['headers'] {
  return Object.fromEntries(Object.entries(headers).filter(([other]) => other !== name));
}

/** The first `bytes` of a body, and whether that was all of it. */
async function* first(body: Reply['body'], bytes: number): AsyncGenerator<Uint8Array, number> {
  let left = bytes;
  for await (const chunk of body) {
    if (left === 0) return 0;
    const piece = chunk.subarray(0, left);
    left -= piece.length;
    yield piece;
  }
  return left;
}

async function* cut(body: Reply['body'], after: number) {
  yield* first(body, after);
  throw new Error('cut');
}

async function* stall(body: Reply['body'], after: number) {
  yield* first(body, after);
  await new Promise(() => {});
}

async function* hold(body: Reply['body'], after: number, until: Promise<unknown>) {
  let left = after;
  for await (const chunk of body) {
    const before = chunk.subarray(0, left);
    if (before.length > 0) yield before;
    left -= before.length;
    if (before.length === chunk.length) continue;
    await until;
    yield chunk.subarray(before.length);
    left = Infinity;
  }
}

async function* flipLast(body: Reply['body']) {
  let last: Uint8Array | undefined;
  for await (const chunk of body) {
    if (last !== undefined) yield last;
    last = chunk;
  }
  if (last !== undefined) yield last.map((byte, at, { length }) => (at === length - 1 ? byte ^ 0xff : byte));
}

async function* pace(body: Reply['body'], bytesPerSecond: number) {
  const start = performance.now();
  let bytes = 0;
  for await (const chunk of body) {
    for (let at = 0; at < chunk.length; at += 65_536) {
      const piece = chunk.subarray(at, at + 65_536);
      const wait = start + (1000 * bytes) / bytesPerSecond - performance.now();
      if (wait > 0) await sleep(wait); // on a busy machine, each turn of the event loop takes long
      bytes += piece.length;
      yield piece;
    }
  }
}

async function* fit(body: Reply['body'], bytes: number) {
  const missing = yield* first(body, bytes);
  if (missing > 0) yield new Uint8Array(missing);
}

async function* flip(body: Reply['body']) {
  for await (const chunk of body) yield chunk.map(byte => byte ^ 0xff);
}
