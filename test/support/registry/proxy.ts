import type { IncomingMessage } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { request as ask, createServer } from '../os/http.ts';

/** The requests to a proxy: `CONNECT host:port`, or `GET http://host:port/…`. */
export type ProxyAsked = { readonly line: string; readonly authorization: string | undefined };

export type TestProxy = AsyncDisposable & {
  /** `http://127.0.0.1:<port>`, or https. */
  readonly url: string;
  readonly asked: readonly ProxyAsked[];
  /** The number of open connections to servers. */
  open(): number;
};

/**
 * A proxy that maps every host to loopback. With `authorization`, it requires that; with `status`, it responds with
 * that to all.
 */
export async function openTestProxy(
  options: {
    readonly authorization?: string;
    readonly status?: number;
    readonly tls?: { readonly key: string; readonly cert: string };
  } = {},
): Promise<TestProxy> {
  const asked: ProxyAsked[] = [];
  const sockets = new Set<Socket>();

  function refusal(request: IncomingMessage): number | undefined {
    const authorization = request.headers['proxy-authorization'];
    asked.push({ line: `${request.method} ${request.url}`, authorization });
    return options.status ?? (authorization === options.authorization ? undefined : 407);
  }

  const server = options.tls === undefined ? createServer() : createTlsServer(options.tls);
  server.on('connect', (request: IncomingMessage, socket: Socket) => {
    socket.on('error', () => {});
    const status = refusal(request);
    if (status !== undefined) return void socket.end(`HTTP/1.1 ${status} No\r\n\r\n`);
    const there = connect(Number(request.url?.split(':').at(-1)), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      there.pipe(socket).pipe(there);
    });
    sockets.add(there);
    there.on('error', () => socket.destroy()).on('close', () => sockets.delete(there));
    socket.on('close', () => there.destroy());
  });
  server.on('request', (request, response) => {
    const status = refusal(request);
    if (status !== undefined) return void response.writeHead(status).end();
    const { port, pathname, search, host } = new URL(request.url ?? '');
    const { 'proxy-authorization': _, ...headers } = request.headers;
    const there = ask(
      {
        host: '127.0.0.1',
        port,
        path: `${pathname}${search}`,
        method: request.method,
        headers: { ...headers, host },
      },
      answer => {
        response.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.pipe(response);
      },
    );
    there.on('error', () => response.destroy());
    request.pipe(there);
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `${options.tls === undefined ? 'http' : 'https'}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    open: () => sockets.size,
    async [Symbol.asyncDispose]() {
      const closed = new Promise(resolve => server.close(resolve));
      server.closeAllConnections();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
