import { Server, type ServerOptions } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import type { PodPublishing } from '../ports/publishing.ts';
import type { Artifacts } from '../ports/usecases.ts';
import { artifactsHandlers } from './artifacts/artifacts.ts';
import { identityHandlers } from './csi/identity.ts';
import { nodeHandlers } from './csi/node.ts';
import type { Edge, Observe } from './edge/call.ts';
import { loadDefinitions } from './edge/definitions.ts';
import { openDrain, refusal, succession, within } from './edge/drain.ts';
import { healthHandlers } from './edge/health.ts';
import { boundIntake, type IntakeBounds } from './edge/intake.ts';
import { reflectionServices } from './edge/reflection.ts';
import type { BoundSocket } from './edge/socket.ts';

export type CsiOptions = {
  /** The driver's socket. Stopping releases it. */
  readonly socket: BoundSocket;
  readonly driverName: string;
  /** The node's name in Kubernetes. */
  readonly nodeId: string;
  readonly version: string;
  readonly publishing: PodPublishing;
  readonly artifacts: Artifacts;
  readonly log: Logger;
  readonly observe: Observe;
  /** Whether volumes can be published now. */
  readonly ready: () => boolean;
};

/** A running server. `stop` may be called again, and takes at most seven seconds. */
export type Serving = AsyncDisposable & { stop(): Promise<void> } & Pick<BoundSocket, 'problem'>;

/** The driver's own server. */
export type CsiServing = Serving & {
  /** Stops for a successor that has the socket: calls in progress get a fifth of a second, and then ABORTED. */
  handOver(): Promise<void>;
};

const MiB = 1024 * 1024;

/**
 * The largest honest request is a publish with a Secret, which Kubernetes bounds at 1 MiB, and with the attributes of
 * its pod. kubelet connects for each call. Answers are not bounded.
 */
export const serverOptions: ServerOptions = {
  'grpc.max_receive_message_length': 2 * MiB,
  'grpc.max_send_message_length': -1,
  'grpc.max_concurrent_streams': 1000,
  'grpc.max_connection_idle_ms': 5 * 60_000,
  // Without channelz, forceShutdown does not know the connections that it should close.
  'grpc.enable_channelz': 1,
};

const intake: IntakeBounds = {
  held: 16 * MiB,
  turns: 8,
  turnMs: 1000,
  streamed: MiB / 4,
  large: MiB / 8,
  inProgress: 64 * MiB,
};

const services = ['csi.v1.Identity', 'csi.v1.Node', 'ociartifact.v1.Artifacts'];
const forTools = [
  'grpc.health.v1.Health',
  'grpc.reflection.v1.ServerReflection',
  'grpc.reflection.v1alpha.ServerReflection',
];

/**
 * Serves the driver's socket: csi.v1 for kubelet, ociartifact.v1 for users, health and reflection for tools.
 *
 * Stopping refuses new calls, gives calls in progress two seconds to finish, then answers UNAVAILABLE for the rest,
 * which kubelet retries, and removes the socket.
 */
export function serveCsi(options: CsiOptions): CsiServing {
  const { socket, nodeId, publishing, artifacts, log, observe, ready } = options;
  const drain = openDrain();
  const edge: Edge = { log, observe, drain };
  const { csi, ociartifact, grpc } = loadDefinitions();
  const server = new Server({ ...serverOptions, interceptors: [boundIntake(intake)] });
  server.addService(csi.v1.Identity.service, identityHandlers(edge, options));
  server.addService(csi.v1.Node.service, nodeHandlers(edge, nodeId, publishing));
  server.addService(ociartifact.v1.Artifacts.service, artifactsHandlers(edge, artifacts, publishing));
  server.addService(grpc.health.v1.Health.service, healthHandlers(edge, services, ready));
  for (const { definition, handlers } of reflectionServices(edge, [...services, ...forTools])) {
    server.addService(definition, handlers);
  }
  socket.serve(server);

  let stopped: Promise<void> | undefined;
  const end = (drained: () => Promise<void>): Promise<void> =>
    (stopped ??= (async () => {
      await drained();
      await socket.release();
      await shutDown(server, socket);
    })());
  const stop = (): Promise<void> => end(() => drain.stop(refusal, 2000, 6000));
  const handOver = (): Promise<void> => end(() => drain.stop(succession, 200, 6000));
  return { stop, handOver, problem: socket.problem, [Symbol.asyncDispose]: stop };
}

/**
 * Lets pending answers arrive, then closes every connection. grpc-js calls back before they have arrived, because it did
 * not accept the connections itself.
 */
export async function shutDown(
  server: Server,
  { ended }: Pick<BoundSocket, 'ended'>,
  withinMs: number = 1000,
): Promise<void> {
  server.tryShutdown(() => {});
  await within(withinMs, ended);
  server.forceShutdown();
}
