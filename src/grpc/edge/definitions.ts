import { findPackageJSON } from 'node:module';
import { dirname, join } from 'node:path';
import {
  type ChannelOptions,
  credentials,
  loadPackageDefinition,
  type MethodDefinition,
  type ServiceDefinition,
} from '@grpc/grpc-js';
import protobuf from 'protobufjs';
import type { ProtoGrpcType as Csi } from '../wire/csi.ts';
import type { ProtoGrpcType as Health } from '../wire/health.ts';
import type { ArtifactsClient } from '../wire/ociartifact/v1/Artifacts.ts';
import type { ProtoGrpcType as OciArtifact } from '../wire/ociartifact.ts';
import type { ProtoGrpcType as Registration } from '../wire/pluginregistration.ts';
import type { ProtoGrpcType as Reflection } from '../wire/reflection.ts';

/** The services. The types of their messages are in wire/. */
export type Definitions = Csi & OciArtifact & Registration & Health & Reflection;

/** The directory of the proto files: beside package.json, with and without a build. */
export const protoDirectory: string = join(dirname(findPackageJSON(import.meta.url) ?? '.'), 'proto');

export const protoFiles: readonly string[] = [
  'csi.proto',
  'ociartifact.proto',
  'pluginregistration.proto',
  'health.proto',
  'reflection.proto',
];

/** How messages are represented; the flags of `npm run protos` say the same. */
const parsing: protobuf.IParseOptions = { keepCase: true };
const conversion: protobuf.IConversionOptions = {
  longs: Number,
  enums: String,
  defaults: true,
  oneofs: true,
};

let loaded: Definitions | undefined;

/** Services and clients of every proto file, read once. */
export function loadDefinitions(): Definitions {
  loaded ??= readDefinitions();
  return loaded;
}

/**
 * Without proto-loader, which describes each message in two more forms that nothing here uses, and so takes twice as
 * long at each start.
 */
function readDefinitions(): Definitions {
  const root = new protobuf.Root();
  root.loadSync(
    protoFiles.map(name => join(protoDirectory, name)),
    parsing,
  );
  const services = servicesOf(root.resolveAll()).map(service => [nameOf(service), toDefinition(service)]);
  return loadPackageDefinition(Object.fromEntries(services)) as unknown as Definitions;
}

function servicesOf(scope: protobuf.NamespaceBase): readonly protobuf.Service[] {
  return scope.nestedArray.flatMap(nested => {
    if (nested instanceof protobuf.Service) return [nested];
    return nested instanceof protobuf.Namespace ? servicesOf(nested) : [];
  });
}

/** Its full name has a leading dot. */
function nameOf(service: protobuf.Service): string {
  return service.fullName.slice(1);
}

function toDefinition(service: protobuf.Service): ServiceDefinition {
  return Object.fromEntries(service.methodsArray.map(method => [method.name, toMethod(service, method)]));
}

function toMethod(service: protobuf.Service, method: protobuf.Method): MethodDefinition<object, object> {
  const request = toConverter(method.resolvedRequestType);
  const response = toConverter(method.resolvedResponseType);
  return {
    path: `/${nameOf(service)}/${method.name}`,
    requestStream: method.requestStream === true,
    responseStream: method.responseStream === true,
    requestSerialize: request.serialize,
    requestDeserialize: request.deserialize,
    responseSerialize: response.serialize,
    responseDeserialize: response.deserialize,
  };
}

type Converter = { serialize(value: object): Buffer; deserialize(bytes: Buffer): object };

/** `type`: resolved, because resolveAll() refuses files with unknown names. */
function toConverter(type: protobuf.Type | null): Converter {
  if (type === null) throw new TypeError('a proto file has a method with an unresolved message');
  return {
    serialize: value => {
      const { buffer, byteOffset, length } = type.encode(type.fromObject(value)).finish();
      return Buffer.from(buffer, byteOffset, length);
    },
    deserialize: bytes => type.toObject(type.decode(bytes), conversion),
  };
}

/** A list of all artifacts, or the annotations of a large manifest, can exceed gRPC's 4 MiB. */
const clientOptions: ChannelOptions = { 'grpc.max_receive_message_length': 64 * 1024 * 1024 };

/** A client of the daemon behind a socket. It connects with the first call. The caller must `close()` it. */
export function openArtifacts(socketPath: string): ArtifactsClient {
  const { Artifacts } = loadDefinitions().ociartifact.v1;
  return new Artifacts(`unix:${socketPath}`, credentials.createInsecure(), clientOptions);
}
