import type { Socket } from 'node:net';

/** Open connections, bounded in number and in time. */
export type Connections = {
  /** Adds a connection, which is closed after `lifetimeMs` at the latest. */
  add(socket: Socket): void;
  destroyAll(): void;
};

/**
 * Keeps `most` connections. One more closes the oldest connection of the address that has the most, so that a client
 * that opens connections without end closes its own, and kubelet's probes are answered.
 */
export function createConnections(most: number, lifetimeMs: number): Connections {
  /** By address, oldest first. */
  const open = new Map<string, Set<Socket>>();
  let count = 0;

  const endOldest = (): void => {
    let busiest: Set<Socket> | undefined;
    for (const sockets of open.values()) if (sockets.size > (busiest?.size ?? 0)) busiest = sockets;
    const [oldest] = busiest ?? [];
    oldest?.destroy();
    // Its close event comes later, and further connections may come before.
    if (oldest !== undefined) remove(oldest);
  };
  const addresses = new WeakMap<Socket, string>();
  const remove = (socket: Socket): void => {
    const address = addresses.get(socket) ?? '';
    const sockets = open.get(address);
    if (sockets?.delete(socket) !== true) return;
    count--;
    if (sockets.size === 0) open.delete(address);
  };

  return {
    add(socket) {
      if (count >= most) endOldest();
      const address = socket.remoteAddress ?? '';
      const sockets = open.get(address) ?? new Set();
      open.set(address, sockets.add(socket));
      addresses.set(socket, address);
      count++;
      const late = setTimeout(() => socket.destroy(), lifetimeMs).unref();
      socket.once('close', () => {
        clearTimeout(late);
        remove(socket);
      });
    },
    destroyAll() {
      for (const sockets of open.values()) for (const socket of sockets) socket.destroy();
    },
  };
}
