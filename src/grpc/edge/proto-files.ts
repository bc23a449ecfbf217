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

/** The files of the services of containerd. */
export const containerdFiles: readonly string[] = [
  'content',
  'events',
  'images',
  'introspection',
  'leases',
  'namespaces',
  'version',
].map(name => `containerd/${name}.proto`);

/** The file of dfdaemon's socket. */
export const dragonflyFiles: readonly string[] = ['dragonfly/dfdaemon.proto'];

/** Parses proto files into one tree. @throws if a name cannot be resolved. */
export function readProtoFiles(
  names: readonly string[] = protoFiles,
  options: protobuf.IParseOptions = {},
): protobuf.Root {
  const root = new protobuf.Root();
  root.loadSync(
    names.map(name => join(protoDirectory, name)),
    { keepCase: true, ...options },
  );
  root.resolveAll();
  return root;
}
