import { promisify } from 'node:util';
import { type handleUnaryCall, Server, ServerCredentials, type ServiceError } from '@grpc/grpc-js';
import { loadDefinitions } from '../../../src/grpc/edge/definitions.ts';
import type { NodePublishVolumeRequest } from '../../../src/grpc/wire/csi/v1/NodePublishVolumeRequest.ts';
import type { TestDaemon } from '../../support/node/daemon.ts';
import { controller, controllerService } from './controller.ts';

/** A call of the daemon, whatever it takes and answers. */
type Forward = (request: object) => Promise<object>;

/**
 * Listens at a unix socket and passes csi.v1.Identity and csi.v1.Node on to a daemon, so that csi-sanity publishes for
 * real: it does so only for a driver that has a controller, which this front adds, and never asks for read-only
 * volumes, which this front does in its place.
 */
export async function openFront(socket: string, daemon: TestDaemon): Promise<AsyncDisposable> {
  const { Identity, Node } = loadDefinitions().csi.v1;
  const server = new Server();
  server.addService(Identity.service, {
    ...forwardAll(daemon.identity),
    GetPluginCapabilities: forward(async () => {
      const { capabilities } = await daemon.identity.GetPluginCapabilities({});
      return { capabilities: [...capabilities, { service: { type: 'CONTROLLER_SERVICE' } }] };
    }),
  });
  server.addService(Node.service, {
    ...forwardAll(daemon.csi),
    NodePublishVolume: forward((request: NodePublishVolumeRequest) =>
      daemon.csi.NodePublishVolume({ ...request, readonly: true }),
    ),
  });
  server.addService(controllerService(), controller);
  await promisify(server.bindAsync.bind(server))(`unix:${socket}`, ServerCredentials.createInsecure());
  return { [Symbol.asyncDispose]: async () => server.forceShutdown() };
}

function forwardAll(calls: object): Record<string, handleUnaryCall<object, object>> {
  const named = Object.entries(calls) as readonly (readonly [string, Forward])[];
  return Object.fromEntries(named.map(([name, call]) => [name, forward(call)]));
}

function forward<Request extends object>(
  call: (request: Request) => Promise<object>,
): handleUnaryCall<Request, object> {
  return ({ request }, answer) => {
    call(request).then(
      response => answer(null, response),
      ({ code, details }: ServiceError) => answer({ code, details }),
    );
  };
}
