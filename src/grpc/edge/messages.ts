import protobuf from 'protobufjs';
import { readProtoFiles } from './proto-files.ts';

/** What converts messages of one type. The objects of protobufjs do. */
export type MessageType = Pick<protobuf.Type, 'encode' | 'decode' | 'fromObject' | 'toObject'>;

export type Rpc = {
  readonly name: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly request: MessageType;
  readonly response: MessageType;
};

/**
 * Reads the calls of each service in the proto files, by its full name.
 *
 * A build has generated code in place of this file (test/tools/serializers.ts), and so neither parses these files nor
 * loads a parser.
 */
export function readServices(): Readonly<Record<string, readonly Rpc[]>> {
  return toServices(readProtoFiles());
}

export function toServices(root: protobuf.Root): Readonly<Record<string, readonly Rpc[]>> {
  return Object.fromEntries(
    servicesOf(root).map(service => [service.fullName.slice(1), service.methodsArray.map(toRpc)]),
  );
}

export function servicesOf(scope: protobuf.NamespaceBase): readonly protobuf.Service[] {
  return scope.nestedArray.flatMap(nested => {
    if (nested instanceof protobuf.Service) return [nested];
    return nested instanceof protobuf.Namespace ? servicesOf(nested) : [];
  });
}

function toRpc(method: protobuf.Method): Rpc {
  const { name, requestStream = false, responseStream = false } = method;
  const { resolvedRequestType: request, resolvedResponseType: response } = method;
  if (request === null || response === null)
    throw new TypeError(`${method.fullName} has an unresolved message`);
  return { name, requestStream, responseStream, request, response };
}
