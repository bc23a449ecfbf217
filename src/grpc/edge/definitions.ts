import {
  type ChannelOptions,
  credentials,
  type GrpcObject,
  loadPackageDefinition,
  type MethodDefinition,
} from '@grpc/grpc-js';
import type { IConversionOptions } from 'protobufjs';
import type { ProtoGrpcType as Csi } from '../wire/csi.ts';
import type { ProtoGrpcType as Health } from '../wire/health.ts';
import type { ArtifactsClient } from '../wire/ociartifact/v1/Artifacts.ts';
import type { ProtoGrpcType as OciArtifact } from '../wire/ociartifact.ts';
import type { ProtoGrpcType as Registration } from '../wire/pluginregistration.ts';
import type { ProtoGrpcType as Reflection } from '../wire/reflection.ts';
import { type MessageType, type Rpc, readServices } from './messages.ts';

/** The services. The types of their messages are in wire/. */
export type Definitions = Csi & OciArtifact & Registration & Health & Reflection;

/** How messages are represented; the flags of `npm run protos` say the same. */
const conversion: IConversionOptions = {
  longs: Number,
  enums: String,
  defaults: true,
  oneofs: true,
};

let loaded: Definitions | undefined;

/** Services and clients of every proto file, read once. */
export function loadDefinitions(): Definitions {
  loaded ??= toDefinitions(readServices()) as unknown as Definitions;
  return loaded;
}

/**
 * Makes services and clients. Without proto-loader, which describes each message in two more forms that nothing here
 * uses, and so takes twice as long at each start.
 */
export function toDefinitions(described: Readonly<Record<string, readonly Rpc[]>>): GrpcObject {
  const services = Object.entries(described).map(([service, rpcs]) => [
    service,
    Object.fromEntries(rpcs.map(rpc => [rpc.name, toMethod(service, rpc)])),
  ]);
  return loadPackageDefinition(Object.fromEntries(services));
}

function toMethod(service: string, rpc: Rpc): MethodDefinition<object, object> {
  const request = toConverter(rpc.request);
  const response = toConverter(rpc.response);
  return {
    path: `/${service}/${rpc.name}`,
    requestStream: rpc.requestStream,
    responseStream: rpc.responseStream,
    requestSerialize: request.serialize,
    requestDeserialize: request.deserialize,
    responseSerialize: response.serialize,
    responseDeserialize: response.deserialize,
  };
}

type Converter = { serialize(value: object): Buffer; deserialize(bytes: Buffer): object };

function toConverter(type: MessageType): Converter {
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
