import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { ArtifactError, errnoOf, toArtifactError } from '../util/error.ts';
import { createConnections } from './connections.ts';
import { type Request, readRequest } from './request.ts';

export type HttpServer = AsyncDisposable & { readonly port: number };

/** Those of node:http would load fetch and WebSocket with it, which takes 35 ms of CPU at each start. */
const phrases = {
  200: 'OK',
  400: 'Bad Request',
  404: 'Not Found',
  405: 'Method Not Allowed',
  421: 'Misdirected Request',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
} as const;

export type Answer = {
  readonly status: keyof typeof phrases;
  readonly body: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
};

export type HttpAddress = { readonly host: string | undefined; readonly port: number };

export type HttpOptions = {
  /** The flag of the address, for errors. */
  readonly flag: string;
  readonly maxConnections: number;
  /** Answers a GET or a HEAD. */
  readonly answer: (request: Request) => Promise<Answer>;
};

/**
 * From accepting a connection to the end of the answer. Prometheus waits 10 s for a scrape, kubelet 1 s for a probe.
 */
const lifetimeMs = 10_000;

/**
 * Serves HTTP that is only read. Port 0 lets the kernel choose.
 *
 * Clients cost the node little, whatever they send: connections are bounded in number and time, and each serves one
 * request. Node's own HTTP server creates objects for each pipelined request before the first one is answered, so this
 * server reads the socket itself.
 *
 * @throws ArtifactError `exists` if another process has the address; `unavailable` if it cannot be bound.
 */
export async function serveHttp(
  address: HttpAddress,
  { flag, maxConnections, answer }: HttpOptions,
): Promise<HttpServer> {
  const connections = createConnections(maxConnections, lifetimeMs);
  // A client may close its sending side and wait for the answer.
  const server = createServer({ allowHalfOpen: true, noDelay: true }, socket => {
    connections.add(socket);
    socket.on('error', () => socket.destroy());
    readRequest(socket, request => {
      answerRead(request, answer)
        .catch((error: unknown): Answer => ({ status: 500, body: `${toArtifactError(error).message}\n` }))
        .then(
          found => send(socket, found, request?.method === 'HEAD'),
          () => socket.destroy(),
        );
    });
  });
  await listen(server, address, flag);
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.close();
      connections.destroyAll();
      await once(server, 'close');
    },
  };
}

async function answerRead(
  request: Request | undefined,
  answer: (request: Request) => Promise<Answer>,
): Promise<Answer> {
  if (request === undefined)
    return { status: 400, body: 'this is not a request of HTTP/1.1 with a short head\n' };
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return { status: 405, body: 'only GET and HEAD\n', headers: { Allow: 'GET, HEAD' } };
  }
  return answer(request);
}

function send(socket: Socket, { status, body, headers = {} }: Answer, headOnly: boolean): void {
  const fields = {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': String(Buffer.byteLength(body)),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
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

async function listen(server: Server, address: HttpAddress, flag: string): Promise<void> {
  try {
    server.listen(address.port, address.host);
    await once(server, 'listening');
  } catch (error) {
    const where = `${address.host ?? ''}:${address.port}`;
    throw new ArtifactError(
      errnoOf(error) === 'EADDRINUSE' ? 'exists' : 'unavailable',
      `cannot listen on ${where} (${toArtifactError(error).message}); choose another ${flag}, or "" for none`,
      error,
    );
  }
}
