import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Server } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { ArtifactError } from '../util/error.ts';
import { loadDefinitions } from './edge/definitions.ts';
import { openDrain, refusal } from './edge/drain.ts';
import { type Serving, serverOptions, shutDown } from './server.ts';
import { bindSocket, type BoundSocket } from './edge/socket.ts';
import { type Edge, type Observe, unary } from './edge/unary.ts';
import type { RegistrationHandlers } from './wire/pluginregistration/Registration.ts';

export type RegistrationOptions = {
  readonly kubeletDir: string;
  readonly driverName: string;
  /** The path of the driver's own socket on the host. */
  readonly endpoint: string;
  readonly log: Logger;
  readonly observe: Observe;
  /** kubelet refuses this driver; the process should end with this error. */
  readonly onRefused: (error: ArtifactError) => void;
};

/** The path where kubelet finds plugins. */
export function registrationPath(kubeletDir: string, driverName: string): string {
  return join(kubeletDir, 'plugins_registry', `${driverName}-reg.sock`);
}

/**
 * Serves pluginregistration.Registration, so that the driver needs no sidecar. Call it when the driver's own socket
 * answers. Replaces an existing socket, whether it is stale or belongs to a predecessor. Stopping removes the socket,
 * which deregisters the driver, unless a successor has replaced it or will.
 *
 * @throws ArtifactError `invalid` for an invalid path, or if kubelet's directory does not exist; `internal` if it
 * cannot be written.
 */
export async function serveRegistration(
  options: RegistrationOptions,
): Promise<Serving & Pick<BoundSocket, 'leave'> & { isRegistered(): boolean }> {
  const { kubeletDir, log, observe } = options;
  const drain = openDrain();
  const server = new Server(serverOptions);
  let registered = false;
  const onRegistered = (): void => {
    registered = true;
  };
  const { Registration } = loadDefinitions().pluginregistration;
  server.addService(
    Registration.service,
    registrationHandlers({ log, observe, drain }, options, onRegistered),
  );
  const path = registrationPath(kubeletDir, options.driverName);
  if (!existsSync(dirname(path))) {
    throw new ArtifactError(
      'invalid',
      `there is no ${dirname(path)} to register in; start kubelet, or correct --kubelet-dir`,
    );
  }
  const bound = await bindSocket(path, 'always');
  bound.serve(server);
  log.info({ socket: path }, 'waiting for kubelet to register the driver');

  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> =>
    (stopped ??= (async () => {
      await bound.release();
      await drain.stop(refusal, 500, 1000);
      await shutDown(server);
    })());
  return { ...bound, stop, isRegistered: () => registered, [Symbol.asyncDispose]: stop };
}

function registrationHandlers(
  edge: Edge,
  options: RegistrationOptions,
  onRegistered: () => void,
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
        onRegistered();
        edge.log.info({ driverName }, 'kubelet has registered the driver');
      } else {
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
