import { Server } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import type { Sharing } from '../ports/sharing.ts';
import { contentHandlers } from './containerd/content.ts';
import { loadContainerd } from './containerd/definitions.ts';
import { eventsHandlers } from './containerd/events.ts';
import { imagesHandlers } from './containerd/images.ts';
import {
  introspectionHandlers,
  leasesHandlers,
  namespacesHandlers,
  versionHandlers,
} from './containerd/introspection.ts';
import type { Edge } from './edge/call.ts';
import { loadDefinitions } from './edge/definitions.ts';
import { openDrain, refusal } from './edge/drain.ts';
import { healthHandlers } from './edge/health.ts';
import { bindSocket } from './edge/socket.ts';
import { type Serving, serverOptions, shutDown } from './server.ts';

/** Resets of streams in a second, and at once: reads of 32 KiB at 30 GiB/s. */
const mostResets = 1_000_000;

/**
 * Serves what others may read of the cache as containerd does, on a socket of its own: images, content and events.
 * Nothing can be changed by it.
 *
 * @throws ArtifactError `invalid` for an invalid path; `exists` while another server answers there, such as containerd
 * itself.
 */
export async function serveContainerd(
  path: string,
  sharing: Sharing,
  version: string,
  log: Logger,
): Promise<Serving> {
  const socket = await bindSocket(path, 'if-silent');
  const drain = openDrain();
  const edge: Edge = { log: quiet(log), observe: () => {}, drain };
  const services = loadContainerd();
  const server = new Server({
    ...serverOptions,
    'grpc.max_receive_message_length': 64 * 1024,
    'grpc.max_concurrent_streams': 256,
  });
  allowResets(server);
  server.addService(services.images.v1.Images.service, imagesHandlers(edge, sharing));
  server.addService(services.content.v1.Content.service, contentHandlers(edge, sharing));
  server.addService(services.events.v1.Events.service, eventsHandlers(edge, sharing));
  server.addService(services.introspection.v1.Introspection.service, introspectionHandlers(edge));
  server.addService(services.namespaces.v1.Namespaces.service, namespacesHandlers(edge));
  server.addService(services.leases.v1.Leases.service, leasesHandlers(edge));
  server.addService(services.version.v1.Version.service, versionHandlers(edge, version));
  const health = loadDefinitions().grpc.health.v1.Health;
  server.addService(
    health.service,
    healthHandlers(edge, [], () => true),
  );
  socket.serve(server);

  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> =>
    (stopped ??= (async () => {
      await socket.release();
      // A successor waits for the state, and readers ask again.
      await drain.stop(refusal, 0, 200);
      await shutDown(server, socket, 100);
    })());
  return { stop, problem: socket.problem, [Symbol.asyncDispose]: stop };
}

/**
 * Clients of containerd in Go reset the stream of each read, which for Spegel are 32 KiB. Node ends a connection with
 * 1,000 resets, and with it all that Spegel reads and its events. There is no option of gRPC for it.
 */
function allowResets(server: Server): void {
  Object.assign(server['commonServerOptions'], { streamResetBurst: mostResets, streamResetRate: mostResets });
}

/** Whoever reaches a peer decides how many calls there are, and how many fail. */
function quiet(log: Logger): Logger {
  const own = log.child({});
  return Object.assign(own, { info: own.debug, warn: own.debug });
}
