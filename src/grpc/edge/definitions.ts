import { findPackageJSON } from 'node:module';
import { dirname, join } from 'node:path';
import { type ChannelOptions, credentials, loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync, type Options } from '@grpc/proto-loader';
import type { ProtoGrpcType as Csi } from '../wire/csi.ts';
import type { ProtoGrpcType as Health } from '../wire/health.ts';
import type { ProtoGrpcType as OciArtifact } from '../wire/ociartifact.ts';
import type { ArtifactsClient } from '../wire/ociartifact/v1/Artifacts.ts';
import type { ProtoGrpcType as Registration } from '../wire/pluginregistration.ts';
import type { ProtoGrpcType as Reflection } from '../wire/reflection.ts';

export type Definitions = Csi & OciArtifact & Registration & Health & Reflection;

/** The folder of the proto files: beside package.json, wherever this file was put by a build. */
export const protoFolder: string = join(dirname(findPackageJSON(import.meta.url) ?? '.'), 'proto');

export const protoFiles: readonly string[] = [
  'csi.proto',
  'ociartifact.proto',
  'pluginregistration.proto',
  'health.proto',
  'reflection.proto',
];

/** How wire messages look in this program; the flags of `npm run protos` say the same. */
const options: Options = {
  includeDirs: [protoFolder],
  keepCase: true,
  longs: Number,
  enums: String,
  defaults: true,
  oneofs: true,
};

let loaded: Definitions | undefined;

/** Services and clients of every proto file, read once. */
export function loadDefinitions(): Definitions {
  loaded ??= loadPackageDefinition(loadSync([...protoFiles], options)) as unknown as Definitions;
  return loaded;
}

/** A list of every artifact, or annotations as large as a manifest may be, can pass gRPC's 4 MiB. */
const clientOptions: ChannelOptions = { 'grpc.max_receive_message_length': 64 * 1024 * 1024 };

/** A client of the daemon behind a socket. It connects with the first call; `close()` it. */
export function openArtifacts(socketPath: string): ArtifactsClient {
  const { Artifacts } = loadDefinitions().ociartifact.v1;
  return new Artifacts(`unix:${socketPath}`, credentials.createInsecure(), clientOptions);
}
