import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { listenOn, type NetworkHost } from '../support/os/network.ts';

/** The way from a network to a server on loopback of this process. Disposing it resets its connections and refuses others. */
export async function openDoor(host: NetworkHost, port: number): Promise<AsyncDisposable> {
  const server = await listenOn({ ...host, address: '127.0.0.1' }, port);
  const sockets = new Set<Socket>();
  server.on('connection', near => {
    const far = connect(port, '127.0.0.1');
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one
        .on('error', () => {})
        .on('close', () => {
          sockets.delete(one);
          other.destroy();
        });
      one.pipe(other);
    }
  });
  let closed: Promise<unknown> | undefined;
  return {
    async [Symbol.asyncDispose]() {
      closed ??= once(server.close(), 'close');
      for (const socket of sockets) socket.resetAndDestroy();
      await closed;
    },
  };
}
