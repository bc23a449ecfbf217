import type { Socket } from 'node:net';

/** Open connections, bounded in number and in time. */
export type Connections = {
  /** Takes a new connection. It ends after `lifetimeMs`, whatever it does. */
  add(socket: Socket): void;
  destroyAll(): void;
};

/**
 * Holds `most` connections. One more ends the oldest connection of the address that has the most of them: a client that
 * opens connections without end ends its own, and the probes of kubelet are answered.
 */
export function createConnections(most: number, lifetimeMs: number): Connections {
  /** By address, in the order they came. */
  const open = new Map<string, Set<Socket>>();
  let count = 0;

  const endOldest = (): void => {
    let busiest: Set<Socket> | undefined;
    for (const sockets of open.values()) if (sockets.size > (busiest?.size ?? 0)) busiest = sockets;
    const [oldest] = busiest ?? [];
    oldest?.destroy();
    // Its event of the end comes later, and others may come before.
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
