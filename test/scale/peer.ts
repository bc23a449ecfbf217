import { execFile } from 'node:child_process';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { mirrorPort, realSpegel, runSpegel } from '../spegel/spegel.ts';
import { startChild, waitUntil } from '../support/node/child.ts';
import type { NetworkHost } from '../support/os/network.ts';
import type { Place } from './fleet.ts';

/** The port of the mirror of each node. */
export const peerPort: number = mirrorPort;
const program = fileURLToPath(new URL('peer-program.ts', import.meta.url));

/** The mirror of a node: Spegel, or what stands in for it. */
export type Peer = AsyncDisposable & {
  /** What it wrote. */
  output(): string;
  /** Whether it gives these blobs, of its node or of another one. */
  gives(digests: readonly string[]): Promise<boolean>;
};

/** What `--containerd-socket` is on a node. */
export function socketOf({ node }: Pick<Place, 'node'>): string {
  return join(node.path, 'containerd.sock');
}

/** Starts the mirror of a node, which reads the daemon's socket, and the mirrors of its neighbors. */
export async function startPeer(place: Place): Promise<Peer> {
  const { host, neighbors } = place;
  const child =
    realSpegel === undefined
      ? await startStandIn(place)
      : await runSpegel(realSpegel, host, neighbors, socketOf(place));
  const gives = (digests: readonly string[]): Promise<boolean> => asksFor(host, digests);
  return { output: child.output, gives, [Symbol.asyncDispose]: () => child[Symbol.asyncDispose]() };
}

async function startStandIn(place: Place): ReturnType<typeof startChild> {
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

const asking = `Promise.all(process.argv.slice(1).map(url => fetch(url, { method: 'HEAD' }))).then(all => process.exit(all.every(one => one.ok) ? 0 : 1), () => process.exit(1))`;

async function asksFor({ enter }: NetworkHost, digests: readonly string[]): Promise<boolean> {
  const urls = digests.map(digest => `http://127.0.0.1:${peerPort}/v2/model/blobs/${digest}?ns=any.test`);
  const [command = '', ...words] = [...enter, process.execPath, '--eval', asking, ...urls];
  return await promisify(execFile)(command, words).then(
    () => true,
    () => false,
  );
}
