import { fileURLToPath } from 'node:url';
import { type handleUnaryCall, loadPackageDefinition, type ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

type Parameters = Readonly<Record<string, string>>;
type CreateVolume = handleUnaryCall<
  { readonly name: string; readonly parameters: Parameters },
  { readonly volume: { readonly volume_id: string; readonly volume_context: Parameters } }
>;
type ControllerGetCapabilities = handleUnaryCall<
  object,
  { readonly capabilities: readonly { readonly rpc: { readonly type: string } }[] }
>;

type Controller = {
  readonly CreateVolume: CreateVolume;
  readonly DeleteVolume: handleUnaryCall<object, object>;
  readonly ControllerGetCapabilities: ControllerGetCapabilities;
};

/** The service of controller.proto. */
export function controllerService(): ServiceDefinition {
  const file = fileURLToPath(new URL('controller.proto', import.meta.url));
  const loaded = loadPackageDefinition(loadSync(file, { keepCase: true, enums: String, defaults: true }));
  const { csi } = loaded as unknown as { csi: { v1: { Controller: { service: ServiceDefinition } } } };
  return csi.v1.Controller.service;
}

/** A controller with nothing behind it: a volume is its name, and its parameters are what publish is given. */
export const controller: Controller = {
  CreateVolume: ({ request: { name, parameters } }, answer) => {
    answer(null, { volume: { volume_id: `sanity-${name}`, volume_context: parameters } });
  },
  DeleteVolume: (_call, answer) => answer(null, {}),
  ControllerGetCapabilities: (_call, answer) => {
    answer(null, { capabilities: [{ rpc: { type: 'CREATE_DELETE_VOLUME' } }] });
  },
};
