import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import protobuf from 'protobufjs';
import descriptor from 'protobufjs/ext/descriptor/index.js';
import { protoDirectory, readProtoFiles } from './proto-files.ts';

/** A proto file as reflection serves it. Names are full, without a leading dot. */
export type DescribedFile = {
  readonly name: string;
  readonly dependencies: readonly string[];
  readonly services: readonly string[];
  /** Everything that clients can look up: services, methods, messages, fields, enums and their values. */
  readonly symbols: readonly string[];
  /** A google.protobuf.FileDescriptorProto, with the comments of the file. */
  readonly bytes: Uint8Array;
};

const { Enum, MapField, Namespace, Service, Type } = protobuf;
const { FileDescriptorProto } = descriptor;

const parsing = { keepCase: true, alternateCommentMode: true };

/**
 * Describes the proto files as protoc does. A build has the result in place of this file (test/tools/serializers.ts).
 * The descriptors of protobufjs omit imports and comments, and misname map entries. Numbers are those of
 * descriptor.proto.
 */
export function describeFiles(): readonly DescribedFile[] {
  const root = readProtoFiles(undefined, parsing);
  // The older name of the same service, which some clients use.
  const reflection = readFileSync(join(protoDirectory, 'reflection.proto'), 'utf8');
  protobuf.parse(reflection.replace('.v1;', '.v1alpha;'), root, parsing);
  return packagesOf(root.resolveAll()).map(describeFile);
}

/** Every package with content, including inner ones. */
function packagesOf(scope: protobuf.NamespaceBase): readonly protobuf.NamespaceBase[] {
  const inner = scope.nestedArray.filter(isPackage);
  return [...(scope.nestedArray.length > inner.length ? [scope] : []), ...inner.flatMap(packagesOf)];
}

/** Records an element by its path of field numbers and indexes in the descriptor, its full name and its comment. */
type Note = (
  path: readonly number[],
  thing: protobuf.ReflectionObject | string,
  comment?: string | null,
) => void;

function describeFile(scope: protobuf.NamespaceBase): DescribedFile {
  const symbols: string[] = [];
  const locations: object[] = [];
  const note: Note = (path, thing, comment) => {
    symbols.push((typeof thing === 'string' ? thing : thing.fullName).slice(1));
    // Tools print in the order of lines, which protobufjs does not keep. The order of this traversal replaces it.
    const span = [locations.length, 0, 1];
    locations.push({ path, span, ...(comment ? { leadingComments: indent(comment) } : {}) });
  };
  const messages = scope.nestedArray.filter(nested => nested instanceof Type);
  const enums = scope.nestedArray.filter(nested => nested instanceof Enum);
  const services = scope.nestedArray.filter(nested => nested instanceof Service);
  const dependencies = [...new Set(messages.flatMap(importsOf))].filter(name => name !== fileOf(scope));
  const file = FileDescriptorProto.fromObject({
    name: fileOf(scope),
    package: scope.fullName.slice(1),
    syntax: 'proto3',
    dependency: dependencies,
    service: services.map((service, at) => toService(service, [6, at], note)),
    messageType: messages.map((message, at) => toMessage(message, [4, at], note)),
    enumType: enums.map((values, at) => toEnum(values, [5, at], note)),
    sourceCodeInfo: { location: locations },
  });
  return {
    name: fileOf(scope),
    dependencies,
    services: services.map(service => service.fullName.slice(1)),
    symbols,
    bytes: FileDescriptorProto.encode(file).finish(),
  };
}

/** A file name for each package. The names are ours, except Google's, which clients may know. */
function fileOf(thing: protobuf.ReflectionObject): string {
  if (thing.parent !== null && !isPackage(thing)) return fileOf(thing.parent);
  const name = thing.fullName.slice(1);
  return name === 'google.protobuf' ? 'google/protobuf/wrappers.proto' : `${name}.proto`;
}

function isPackage(thing: protobuf.ReflectionObject): thing is protobuf.Namespace {
  return thing instanceof Namespace && !(thing instanceof Type) && !(thing instanceof Service);
}

function importsOf(message: protobuf.Type): readonly string[] {
  const used = message.fieldsArray.flatMap(({ resolvedType }) =>
    resolvedType === null ? [] : [fileOf(resolvedType)],
  );
  return [...used, ...message.nestedArray.filter(nested => nested instanceof Type).flatMap(importsOf)];
}

function toService(service: protobuf.Service, path: readonly number[], note: Note): object {
  note(path, service, service.comment);
  const method = service.methodsArray.map((rpc, at) => {
    note([...path, 2, at], rpc, rpc.comment);
    return {
      name: rpc.name,
      inputType: rpc.resolvedRequestType?.fullName,
      outputType: rpc.resolvedResponseType?.fullName,
      clientStreaming: rpc.requestStream === true,
      serverStreaming: rpc.responseStream === true,
    };
  });
  return { name: service.name, method };
}

function toMessage(message: protobuf.Type, path: readonly number[], note: Note): object {
  note(path, message, message.comment);
  const nested = message.nestedArray.filter(inner => inner instanceof Type);
  const enums = message.nestedArray.filter(inner => inner instanceof Enum);
  return {
    name: message.name,
    nestedType: [
      ...nested.map((inner, at) => toMessage(inner, [...path, 3, at], note)),
      ...message.fieldsArray.filter(field => field instanceof MapField).map(toEntry),
    ],
    enumType: enums.map((inner, at) => toEnum(inner, [...path, 4, at], note)),
    oneofDecl: message.oneofsArray.map(({ name }) => ({ name })),
    field: message.fieldsArray.map((field, at) => {
      note([...path, 2, at], field, field.comment);
      return toField(field);
    }),
  };
}

function toField(field: protobuf.Field): object {
  const { name, id: number, partOf } = field;
  const label = field.repeated || field.map ? 'LABEL_REPEATED' : 'LABEL_OPTIONAL';
  if (field instanceof MapField) {
    const typeName = `${field.parent?.fullName}.${entryName(name)}`;
    return { name, number, label, type: 'TYPE_MESSAGE', typeName };
  }
  const oneof = partOf === null ? {} : { oneofIndex: field.message?.oneofsArray.indexOf(partOf) };
  return { name, number, label, ...toTypeOf(field), ...oneof };
}

function toTypeOf({ type, resolvedType }: protobuf.FieldBase): object {
  if (resolvedType === null) return { type: `TYPE_${type.toUpperCase()}` };
  return {
    type: resolvedType instanceof Enum ? 'TYPE_ENUM' : 'TYPE_MESSAGE',
    typeName: resolvedType.fullName,
  };
}

/** The wire form of a map is a list of entries. */
function toEntry(field: protobuf.MapField): object {
  const key = {
    name: 'key',
    number: 1,
    label: 'LABEL_OPTIONAL',
    type: `TYPE_${field.keyType.toUpperCase()}`,
  };
  const value = { name: 'value', number: 2, label: 'LABEL_OPTIONAL', ...toTypeOf(field) };
  return { name: entryName(field.name), field: [key, value], options: { mapEntry: true } };
}

/** `volume_context` is a list of VolumeContextEntry. */
function entryName(field: string): string {
  return `${field.replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase())}Entry`;
}

function toEnum(values: protobuf.Enum, path: readonly number[], note: Note): object {
  note(path, values, values.comment);
  const value = Object.entries(values.values).map(([name, number], at) => {
    // The values of an enum are named beside it, not in it.
    note([...path, 2, at], `${values.parent?.fullName}.${name}`, values.comments[name]);
    return { name, number };
  });
  return { name: values.name, value };
}

/** Comments of a descriptor keep the space that followed the slashes. */
function indent(comment: string): string {
  return comment
    .split('\n')
    .map(line => ` ${line}\n`)
    .join('');
}
