import { once } from 'node:events';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { createServer } from '../support/os/http.ts';

/** `address`: its host and port. */
export type Scheduler = AsyncDisposable & { readonly address: string };

/**
 * The scheduler of the stand-ins for dfdaemon: the first peer that asks for a blob takes it from the registry, and the
 * others from that one, until they lose it.
 */
export async function openScheduler(): Promise<Scheduler> {
  const sources = new Map<string, string>();
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://scheduler');
    const peer = searchParams.get('peer') ?? '';
    const source = sources.get(pathname);
    if (source !== undefined && source !== peer && source !== searchParams.get('lost')) response.end(source);
    else {
      sources.set(pathname, peer);
      response.end();
    }
  });
  return await open(server, () => server.closeAllConnections());
}

/** A scheduler that accepts connections and never answers, whatever the protocol. */
export async function openSilentScheduler(): Promise<Scheduler> {
  const sockets = new Set<Socket>();
  const server = createTcpServer(socket => {
    sockets.add(socket.on('error', () => {}));
  });
  return await open(server, () => {
    for (const socket of sockets) socket.destroy();
  });
}

async function open(server: Server, closeAll: () => void): Promise<Scheduler> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      closeAll();
      await closed;
    },
  };
}
