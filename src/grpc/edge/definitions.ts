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

/** The directory of the proto files: beside package.json, with and without a build. */
export const protoFolder: string = join(dirname(findPackageJSON(import.meta.url) ?? '.'), 'proto');

export const protoFiles: readonly string[] = [
  'csi.proto',
  'ociartifact.proto',
  'pluginregistration.proto',
  'health.proto',
  'reflection.proto',
];

/** How messages are represented; the flags of `npm run protos` say the same. */
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

/** A list of all artifacts, or the annotations of a large manifest, can exceed gRPC's 4 MiB. */
const clientOptions: ChannelOptions = { 'grpc.max_receive_message_length': 64 * 1024 * 1024 };

/** A client of the daemon behind a socket. It connects with the first call. The caller must `close()` it. */
export function openArtifacts(socketPath: string): ArtifactsClient {
  const { Artifacts } = loadDefinitions().ociartifact.v1;
  return new Artifacts(`unix:${socketPath}`, credentials.createInsecure(), clientOptions);
}
