import { findPackageJSON } from 'node:module';
import { dirname, join } from 'node:path';
import protobuf from 'protobufjs';

/** The directory of the proto files: beside package.json. */
export const protoDirectory: string = join(dirname(findPackageJSON(import.meta.url) ?? '.'), 'proto');

export const protoFiles: readonly string[] = [
  'csi.proto',
  'ociartifact.proto',
  'pluginregistration.proto',
  'health.proto',
  'reflection.proto',
];

/** Parses all proto files into one tree. @throws if a name cannot be resolved. */
export function readProtoFiles(options: protobuf.IParseOptions = {}): protobuf.Root {
  const root = new protobuf.Root();
  root.loadSync(
    protoFiles.map(name => join(protoDirectory, name)),
    { keepCase: true, ...options },
  );
  root.resolveAll();
  return root;
}
