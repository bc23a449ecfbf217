import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ArtifactError, toArtifactError } from '../util/error.ts';

export type Pages = {
  /** What only a restart mends, one line each. */
  broken(): readonly string[];
  /** Why the daemon is not ready, one line each; nothing when it is. */
  ready(): readonly string[];
  /** What is wrong though it is ready, one line each. */
  notes(): readonly string[];
  readonly metrics: { readonly contentType: string; scrape(): Promise<string> };
};

export type HttpServer = AsyncDisposable & { readonly port: number };

/**
 * Serves /healthz (200 unless only a restart can help), /readyz (200) and /metrics; the first two give their reasons
 * with a 503. Port 0 lets the kernel choose.
 * @throws ArtifactError `unavailable` when the address cannot be had.
 */
export async function serveHttp(
  address: { readonly host: string | undefined; readonly port: number },
  pages: Pages,
): Promise<HttpServer> {
  const server = createServer((request, response) => {
    answer(request, response, pages).catch((error: unknown) => {
      send(response, 500, `${toArtifactError(error).message}\n`);
    });
  });
  await listen(server, address);
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

async function answer(request: IncomingMessage, response: ServerResponse, pages: Pages): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD');
    return send(response, 405, 'only GET and HEAD\n');
  }
  switch (request.url?.split('?', 1)[0]) {
    case '/healthz': {
      const reasons = pages.broken();
      return send(
        response,
        reasons.length === 0 ? 200 : 503,
        reasons.map(reason => `${reason}\n`).join('') || 'ok\n',
      );
    }
    case '/readyz': {
      const reasons = pages.ready();
      const notes = pages.notes().map(note => `ready, but: ${note}\n`);
      if (reasons.length === 0) return send(response, 200, notes.join('') || 'ready\n');
      return send(response, 503, reasons.map(reason => `not ready: ${reason}\n`).join(''));
    }
    case '/metrics':
      return send(response, 200, await pages.metrics.scrape(), pages.metrics.contentType);
    default:
      return send(response, 404, '/healthz, /readyz and /metrics are here\n');
  }
}

function send(
  response: ServerResponse,
  status: number,
  text: string,
  type = 'text/plain; charset=utf-8',
): void {
  response.writeHead(status, { 'Content-Type': type, 'Cache-Control': 'no-store' });
  response.end(text);
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
      'unavailable',
      `cannot listen on ${where} (${toArtifactError(error).message}); choose another --http-listen, or "" for none`,
      error,
    );
  }
}
