import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { type Child, startChild, waitUntil } from '../support/node/child.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';

/** The variables by which npm run test:dragonfly names a real dfdaemon, and the address of a real scheduler. */
export const dfdaemonVariable = 'OCI_ARTIFACT_TEST_DFDAEMON';
export const schedulerVariable = 'OCI_ARTIFACT_TEST_DRAGONFLY_SCHEDULER';

/** The real programs, or undefined where stand-ins are used. */
export const realDfdaemon: string | undefined = process.env[dfdaemonVariable];
export const realScheduler: string | undefined = process.env[schedulerVariable];

const standIn = fileURLToPath(new URL('stand-in.ts', import.meta.url));

/** The port of its proxy on each address, which is also its default. */
export const proxyPort = 4001;

/** Where it has its socket and its storage. Default: a directory that ends with it. */
export type DfdaemonPlace = { readonly socket: string; readonly storage: string };

/** Starts dfdaemon on a loopback address of its own, with the configuration that docs/scale.md recommends. */
export async function startDfdaemon(
  ip: string,
  scheduler: string,
  scheduleTimeout = '10s',
  place?: DfdaemonPlace,
): Promise<Child> {
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(await temporaryDirectory());
  const server = (port: number) => ({ server: { ip, port } });
  const config = {
    host: { ip, hostname: ip },
    server: { cacheDir: join(directory.path, 'cache'), pluginDir: join(directory.path, 'plugins') },
    download: { server: { socketPath: place?.socket ?? join(directory.path, 'dfdaemon.sock') } },
    upload: server(4000),
    metrics: server(4002),
    health: server(4003),
    stats: server(4004),
    storage: {
      dir: place?.storage ?? join(directory.path, 'storage'),
      server: { ip, tcpPort: 4005, quicPort: 4006 },
    },
    scheduler: { scheduleTimeout, maxScheduleCount: 5 },
    proxy: {
      ...server(proxyPort),
      rules: [{ regex: 'blobs/sha256.*' }],
      registryMirror: { addr: 'https://registry.invalid', enableTaskIDBasedBlobDigest: true },
      prefetch: false,
    },
  };
  const files = {
    config: join(directory.path, 'dfdaemon.yaml'),
    dynconfig: join(directory.path, 'dynconfig.yaml'),
  };
  await writeFile(files.config, JSON.stringify(config)); // JSON is YAML
  await writeFile(files.dynconfig, JSON.stringify({ scheduler: { addrs: [scheduler] } }));
  const args = ['--config', files.config, '--dynconfig', files.dynconfig, '--console'];
  const child = stack.use(
    realDfdaemon === undefined
      ? await startChild(process.execPath, [standIn, ...args])
      : await startChild(realDfdaemon, args),
  );
  await waitUntil(child, () => isListening(ip), 'listening');
  if (place !== undefined) await waitUntil(child, () => existsSync(place.socket), 'listening on its socket');
  const resources = stack.move();
  return { ...child, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

async function isListening(ip: string): Promise<boolean> {
  return await new Promise(resolve => {
    const socket = connect(proxyPort, ip, () => resolve(true));
    socket.on('error', () => resolve(false)).on('connect', () => socket.destroy());
  });
}
