import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Descriptor } from '../../../src/oci/descriptor.ts';
import { toDigest } from '../../../src/oci/digest.ts';
import { createServer } from '../os/http.ts';

/** A request for the blob, and what was sent for it. */
export type RangeAsked = {
  readonly range: string | undefined;
  /** By performance.now(). */
  readonly at: number;
  sent: number;
};

/** How a server deviates. `connection`: the bytes per second of each; `link`: of all together. */
export type Throttle = {
  readonly connection?: number;
  readonly link?: number;
  /** Answers in place of the right bytes; undefined for these. */
  readonly answer?: (request: IncomingMessage, response: ServerResponse, nth: number) => boolean;
};

export type ThrottledRegistry = AsyncDisposable & {
  readonly host: string;
  readonly blob: Descriptor;
  readonly bytes: Uint8Array;
  readonly asked: readonly RangeAsked[];
  /** The most answers that were sent at the same time. */
  mostAtOnce: number;
  throttle: Throttle;
  reset(): void;
};

const chunk = 64 * 1024;

/** A registry with one blob, on loopback, that limits the rate of each connection, and counts. */
export async function openThrottledRegistry(bytes: Uint8Array): Promise<ThrottledRegistry> {
  const digest = toDigest('sha256', createHash('sha256').update(bytes).digest('hex'));
  const asked: RangeAsked[] = [];
  let linkFreeAt = 0;
  const registry = { throttle: {} as Throttle, mostAtOnce: 0 };
  let sending = 0;

  async function send(entry: RangeAsked, response: ServerResponse, body: Uint8Array): Promise<void> {
    const began = performance.now();
    sending++;
    registry.mostAtOnce = Math.max(registry.mostAtOnce, sending);
    const { connection, link } = registry.throttle;
    for (let at = 0; at < body.length && !response.destroyed; at += chunk) {
      const piece = body.subarray(at, at + chunk);
      if (link !== undefined) {
        linkFreeAt = Math.max(linkFreeAt, performance.now()) + (piece.length / link) * 1000;
        await sleep(Math.max(0, linkFreeAt - performance.now()));
      }
      const dueAt = connection === undefined ? 0 : began + ((at + piece.length) / connection) * 1000;
      const waitMs = dueAt - performance.now();
      if (waitMs > 0) await sleep(waitMs);
      if (!response.write(piece)) await new Promise(resolve => setImmediate(resolve));
      entry.sent += piece.length;
    }
    sending--;
    response.end();
  }

  const server = createServer((request, response) => {
    const { range } = request.headers;
    const entry = { range, at: performance.now(), sent: 0 };
    asked.push(entry);
    response.on('error', () => {});
    if (registry.throttle.answer?.(request, response, asked.length) === true) return;
    const [, from = '0', last = ''] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? [];
    const to = last === '' ? bytes.length : Number(last) + 1;
    const body = bytes.subarray(Number(from), to);
    const headers = { 'content-length': body.length };
    if (range === undefined) response.writeHead(200, headers);
    else response.writeHead(206, { ...headers, 'content-range': `bytes ${from}-${to - 1}/${bytes.length}` });
    void send(entry, response, body);
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return Object.assign(registry, {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    blob: { mediaType: 'application/octet-stream', digest, size: bytes.length, annotations: {} },
    bytes,
    asked,
    reset() {
      asked.length = 0;
      registry.throttle = {};
      registry.mostAtOnce = 0;
    },
    async [Symbol.asyncDispose]() {
      const closed = new Promise(resolve => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  });
}
