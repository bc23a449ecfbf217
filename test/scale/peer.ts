import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { type Child, startChild, waitUntil } from '../support/node/child.ts';
import type { NetworkHost } from '../support/os/network.ts';
import type { Place } from './fleet.ts';

/** The port of the mirror of each node. */
export const peerPort = 5010;
const program = fileURLToPath(new URL('peer-program.ts', import.meta.url));

/** What `--containerd-socket` is on a node. */
export function socketOf({ node }: Pick<Place, 'node'>): string {
  return join(node.path, 'containerd.sock');
}

/** Starts the mirror of a node, which reads the daemon's socket, and the mirrors of its neighbors. */
export async function startPeer(place: Place): Promise<Child> {
  const { host, neighbors } = place;
  const toAddress = ({ address }: NetworkHost): string => `${address}:${peerPort}`;
  const options = {
    listen: `0.0.0.0:${peerPort}`,
    socket: socketOf(place),
    peers: neighbors.map(toAddress).join(','),
  };
  const args = Object.entries(options).map(([name, value]) => `--${name}=${value}`);
  const [command = '', ...words] = [...host.enter, process.execPath, program, ...args];
  const child = await startChild(command, words);
  await waitUntil(child, () => child.output().includes('listening'), 'listening');
  return child;
}
