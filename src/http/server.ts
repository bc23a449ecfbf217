import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { ArtifactError, errnoOf, toArtifactError } from '../util/error.ts';
import { createMemo } from '../util/memo.ts';
import { createConnections } from './connections.ts';
import { readRequest, type Request } from './request.ts';

export type Pages = {
  /** What a daemon waits for that will take over from another; undefined for one that serves. It is ready. */
  standby(): string | undefined;
  /** Failures that only a restart fixes, one line each. */
  broken(): readonly string[];
  /** Reasons why the daemon is not ready, one line each; empty if it is ready. */
  ready(): readonly string[];
  /** Problems that do not affect readiness, one line each. */
  notes(): readonly string[];
  /** Information about the node, one line each. */
  facts(): readonly string[];
  readonly metrics: { readonly contentType: string; scrape(): Promise<string> };
};

export type HttpServer = AsyncDisposable & { readonly port: number };

/** Those of node:http would load fetch and WebSocket with it, which takes 35 ms of CPU at each start. */
const phrases = {
  200: 'OK',
  400: 'Bad Request',
  404: 'Not Found',
  405: 'Method Not Allowed',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
} as const;

type Answer = {
  readonly status: keyof typeof phrases;
  readonly body: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
};

/** Concurrent connections. A probe and a scrape take one each, for milliseconds. */
const maxConnections = 128;
/**
 * From accepting a connection to the end of the answer. Prometheus waits 10 s for a scrape, kubelet 1 s for a probe.
 */
const lifetimeMs = 10_000;
/** How long the result of a scrape is reused. */
const freshMs = 1_000;

/**
 * Serves /healthz (503 if only a restart helps), /readyz and /metrics. The first two list their reasons with a 503.
 * Port 0 lets the kernel choose.
 *
 * Clients cost the node little, whatever they send: connections are bounded in number and time, each serves one
 * request, one scrape is computed at a time, and unread answers share one buffer. Node's own HTTP server creates
 * objects for each pipelined request before the first one is answered, so this server reads the socket itself.
 *
 * @throws ArtifactError `unavailable` if the address cannot be bound.
 */
export async function serveHttp(
  address: { readonly host: string | undefined; readonly port: number },
  pages: Pages,
): Promise<HttpServer> {
  const connections = createConnections(maxConnections, lifetimeMs);
  const scraped = createMemo<Uint8Array>();
  const scrape = (): Promise<Uint8Array> =>
    scraped.recall(
      'metrics',
      async () => ({ value: Buffer.from(await pages.metrics.scrape()), forMs: freshMs }),
      unending,
    );
  // A client may close its sending side and wait for the answer.
  const server = createServer({ allowHalfOpen: true, noDelay: true }, socket => {
    connections.add(socket);
    socket.on('error', () => socket.destroy());
    readRequest(socket, request => {
      answer(request, pages, scrape)
        .catch((error: unknown): Answer => ({ status: 500, body: `${toArtifactError(error).message}\n` }))
        .then(
          found => send(socket, found, request?.method === 'HEAD'),
          () => socket.destroy(),
        );
    });
  });
  await listen(server, address);
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.close();
      connections.destroyAll();
      await once(server, 'close');
    },
  };
}

const unending = new AbortController().signal;

async function answer(
  request: Request | undefined,
  pages: Pages,
  scrape: () => Promise<Uint8Array>,
): Promise<Answer> {
  if (request === undefined)
    return { status: 400, body: 'this is not a request of HTTP/1.1 with a short head\n' };
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return { status: 405, body: 'only GET and HEAD\n', headers: { Allow: 'GET, HEAD' } };
  }
  switch (request.path) {
    case '/healthz': {
      const reasons = pages.broken();
      return {
        status: reasons.length === 0 ? 200 : 503,
        body: reasons.map(reason => `${reason}\n`).join('') || 'ok\n',
      };
    }
    case '/readyz': {
      const standby = pages.standby();
      if (standby !== undefined) return { status: 200, body: `standby: ${standby}\n` };
      const reasons = pages.ready();
      const notes = pages.notes().map(note => `ready, but: ${note}\n`);
      const facts = pages.facts().map(fact => `${fact}\n`);
      if (reasons.length === 0)
        return { status: 200, body: `${notes.join('') || 'ready\n'}${facts.join('')}` };
      return { status: 503, body: reasons.map(reason => `not ready: ${reason}\n`).join('') };
    }
    case '/metrics':
      return {
        status: 200,
        body: await scrape(),
        headers: { 'Content-Type': pages.metrics.contentType },
      };
    default:
      return { status: 404, body: '/healthz, /readyz and /metrics are here\n' };
  }
}

function send(socket: Socket, { status, body, headers = {} }: Answer, headOnly: boolean): void {
  const fields = {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': String(Buffer.byteLength(body)),
    'Cache-Control': 'no-store',
    Date: new Date().toUTCString(),
    Connection: 'close',
    ...headers,
  };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.cork();
  socket.write(`HTTP/1.1 ${status} ${phrases[status]}\r\n${lines.join('')}\r\n`);
  if (!headOnly) socket.write(body);
  socket.end();
}

async function listen(
  server: Server,
  address: { readonly host: string | undefined; readonly port: number },
): Promise<void> {
  try {
    server.listen(address.port, address.host);
    await once(server, 'listening');
  } catch (error) {
    const where = `${address.host ?? ''}:${address.port}`;
    throw new ArtifactError(
      errnoOf(error) === 'EADDRINUSE' ? 'exists' : 'unavailable',
      `cannot listen on ${where} (${toArtifactError(error).message}); choose another --http-listen, or "" for none`,
      error,
    );
  }
}
