import type { Plugin, PluginBuild } from 'esbuild';
import protobuf from 'protobufjs';
import { describeFiles } from '../../src/grpc/edge/descriptors.ts';
import { servicesOf } from '../../src/grpc/edge/messages.ts';
import { containerdFiles, dragonflyFiles, readProtoFiles } from '../../src/grpc/edge/proto-files.ts';

/**
 * What a build has in place of the files that read the proto files: the code that protobufjs would generate from them
 * at each start, and the answers of reflection. So the daemon neither parses them nor loads a parser.
 */
export const serializers: Plugin = { name: 'serializers', setup };

function setup({ onLoad }: PluginBuild): void {
  onLoad({ filter: /src\/grpc\/edge\/messages\.ts$/ }, () => ({ contents: generateMessages() }));
  onLoad({ filter: /src\/grpc\/containerd\/messages\.ts$/ }, () => ({
    contents: generateMessages(readProtoFiles(containerdFiles)),
  }));
  onLoad({ filter: /src\/grpc\/dragonfly\/messages\.ts$/ }, () => ({
    contents: generateMessages(readProtoFiles(dragonflyFiles)),
  }));
  onLoad({ filter: /src\/grpc\/edge\/descriptors\.ts$/ }, () => ({ contents: generateDescriptors() }));
}

/** A module with the interface of src/grpc/edge/messages.ts. */
export function generateMessages(root: protobuf.Root = readProtoFiles()): string {
  const services = servicesOf(root).map(
    service => `${literal(service.fullName.slice(1))}: [${service.methodsArray.map(toRpc).join(', ')}]`,
  );
  return `import protobuf from 'protobufjs/minimal.js';
const { Reader, Writer, util } = protobuf;
const all = {};
const typeOf = name => (all[name] ??= {});
/** \`fields\`: the names of the types that fields have, by the number of the field. */
const define = (name, fields, make) => Object.assign(typeOf(name), make(fields.map(type => type && typeOf(type))));
${typesOf(root).map(toDefinition).join('\n')}
const services = { ${services.join(', ')} };
export const readServices = () => services;
`;
}

function generateDescriptors(): string {
  const files = describeFiles().map(file => ({ ...file, bytes: Buffer.from(file.bytes).toString('base64') }));
  return `const files = ${JSON.stringify(files)};
export const describeFiles = () => files.map(file => ({ ...file, bytes: Buffer.from(file.bytes, 'base64') }));
`;
}

function typesOf(scope: protobuf.NamespaceBase): readonly (protobuf.Type | protobuf.Enum)[] {
  return scope.nestedArray.flatMap(nested => {
    if (nested instanceof protobuf.Enum) return [nested];
    if (!(nested instanceof protobuf.Namespace)) return [];
    return [...(nested instanceof protobuf.Type ? [nested] : []), ...typesOf(nested)];
  });
}

/** The generated functions take each other's types, and the constructor, from names in their scope. */
function toDefinition(type: protobuf.Type | protobuf.Enum): string {
  if (type instanceof protobuf.Enum) {
    const values = JSON.stringify({ ...type.valuesById, ...type.values });
    return `define(${literal(type.fullName)}, [], () => ({ values: ${values} }));`;
  }
  const fields = type.fieldsArray.map(({ resolvedType }) => resolvedType?.fullName ?? null);
  const { encoder, decoder, converter } = protobuf;
  return `define(${literal(type.fullName)}, ${JSON.stringify(fields)}, types => ({
ctor: ${codeOf(protobuf.Type.generateConstructor(type))},
encode: ${codeOf(encoder(type))},
decode: ${codeOf(decoder(type))},
fromObject: ${codeOf(converter.fromObject(type))},
toObject: ${codeOf(converter.toObject(type))},
}));`;
}

function toRpc(method: protobuf.Method): string {
  const { name, requestStream = false, responseStream = false } = method;
  const request = `typeOf(${literal(method.resolvedRequestType?.fullName)})`;
  const response = `typeOf(${literal(method.resolvedResponseType?.fullName)})`;
  return `{ name: ${literal(name)}, requestStream: ${requestStream}, responseStream: ${responseStream}, request: ${request}, response: ${response} }`;
}

/** A generator of protobufjs ends in a function, or here in its text. */
function codeOf(generator: protobuf.Codegen): string {
  return generator.toString();
}

function literal(text: string | undefined): string {
  return JSON.stringify(text);
}
