import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Server } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { ArtifactError } from '../util/error.ts';
import { type Edge, type Observe, unary } from './edge/call.ts';
import { loadDefinitions } from './edge/definitions.ts';
import { openDrain, refusal } from './edge/drain.ts';
import { bindSocket } from './edge/socket.ts';
import { hiddenSocket, openSocketLink } from './edge/socket-link.ts';
import { type Serving, serverOptions, shutDown } from './server.ts';
import type { RegistrationHandlers } from './wire/pluginregistration/Registration.ts';

export type RegistrationOptions = {
  readonly kubeletDir: string;
  readonly driverName: string;
  /** The path of the driver's own socket on the host. */
  readonly endpoint: string;
  readonly log: Logger;
  readonly observe: Observe;
  /** Whether kubelet registered the predecessor, from which this daemon takes over. */
  readonly inherited: boolean;
  /** Called when kubelet has registered the driver, and when it takes that back. */
  readonly noteRegistered: (isRegistered: boolean) => void;
  /** kubelet refuses this driver; the process should end with this error. */
  readonly onRefused: (error: ArtifactError) => void;
};

export type RegistrationServing = Serving & {
  isRegistered(): boolean;
  /** Stopping no longer deregisters the driver: a successor will serve kubelet. */
  leave(): void;
};

/** The path where kubelet finds plugins. */
export function registrationPath(kubeletDir: string, driverName: string): string {
  return join(kubeletDir, 'plugins_registry', `${driverName}-reg.sock`);
}

/**
 * The path of the driver's own socket on the host, which may differ in the container. kubelet keeps one plugin
 * directory for each driver.
 */
export function hostEndpoint({
  endpoint,
  kubeletDir,
  driverName,
}: Pick<RegistrationOptions, 'endpoint' | 'kubeletDir' | 'driverName'>): string {
  return endpoint.startsWith(`${kubeletDir}/`)
    ? endpoint
    : join(kubeletDir, 'plugins', driverName, 'csi.sock');
}

/**
 * Serves pluginregistration.Registration, so that the driver needs no sidecar. Call it when the driver's own socket
 * answers. Replaces the socket of a predecessor. Stopping deregisters the driver, unless a successor has replaced the
 * socket or will.
 *
 * kubelet deregisters a driver for a second or more when the name of its socket is made again, and refuses its volumes
 * meanwhile. So that name is a link, which a successor keeps: it replaces the socket behind it, and stays registered.
 *
 * @throws ArtifactError `invalid` for an invalid path, or if kubelet's directory does not exist; `internal` if it
 * cannot be written.
 */
export async function serveRegistration(options: RegistrationOptions): Promise<RegistrationServing> {
  const { kubeletDir, log, observe } = options;
  const drain = openDrain();
  const server = new Server(serverOptions);
  let registered = false;
  const note = (isRegistered: boolean): void => {
    registered = isRegistered;
    options.noteRegistered(isRegistered);
  };
  const { Registration } = loadDefinitions().pluginregistration;
  server.addService(Registration.service, registrationHandlers({ log, observe, drain }, options, note));
  const path = registrationPath(kubeletDir, options.driverName);
  if (!existsSync(dirname(path))) {
    throw new ArtifactError(
      'invalid',
      `there is no ${dirname(path)} to register in; start kubelet, or correct --kubelet-dir`,
    );
  }
  const link = openSocketLink(path);
  const bound = await bindSocket(hiddenSocket(path), 'always');
  bound.serve(server);
  if (options.inherited && link.isThere()) {
    note(true);
    log.info({ socket: path }, 'kubelet has registered the driver, and keeps it');
  } else {
    await link.make();
    log.info({ socket: path }, 'waiting for kubelet to register the driver');
  }
  const isOurs = (): boolean => bound.problem() === undefined;
  let isLeft = false;
  const leave = (): void => {
    isLeft = true;
    bound.leave();
  };
  const problem = (): string | undefined =>
    isOurs() && link.isThere() ? undefined : `the socket ${path} is gone; restart the daemon`;

  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> =>
    (stopped ??= (async () => {
      if (isOurs() && !isLeft) link.remove();
      await bound.release();
      await drain.stop(refusal, 500, 1000);
      await shutDown(server, bound);
    })());
  return { stop, leave, problem, isRegistered: () => registered, [Symbol.asyncDispose]: stop };
}

function registrationHandlers(
  edge: Edge,
  options: RegistrationOptions,
  note: (isRegistered: boolean) => void,
): RegistrationHandlers {
  const { driverName, endpoint, onRefused } = options;
  return {
    GetInfo: unary(edge, async () => ({
      type: 'CSIPlugin',
      name: driverName,
      endpoint,
      supported_versions: ['1.0.0'],
    })),
    NotifyRegistrationStatus: unary(edge, async ({ plugin_registered, error }) => {
      if (plugin_registered) {
        note(true);
        edge.log.info({ driverName }, 'kubelet has registered the driver');
      } else {
        note(false); // a standby must register anew: kubelet does not try again where the link stays
        onRefused(
          new ArtifactError(
            'unavailable',
            `kubelet has refused to register ${driverName} at ${endpoint}: ${error}; its log says more`,
          ),
        );
      }
      return {};
    }),
  };
}
