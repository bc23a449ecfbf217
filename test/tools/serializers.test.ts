import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import fc from 'fast-check';
import protobuf from 'protobufjs';
import { readServices as readContainerdServices } from '../../src/grpc/containerd/messages.ts';
import { readServices as readDragonflyServices } from '../../src/grpc/dragonfly/messages.ts';
import type * as Messages from '../../src/grpc/edge/messages.ts';
import { type MessageType, readServices } from '../../src/grpc/edge/messages.ts';
import { containerdFiles, dragonflyFiles, readProtoFiles } from '../../src/grpc/edge/proto-files.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { generateMessages } from './serializers.ts';

const parsed = { ...readServices(), ...readContainerdServices(), ...readDragonflyServices() };
let generated: typeof parsed;

before(async () => {
  generated = {
    ...(await load(generateMessages())),
    ...(await load(generateMessages(readProtoFiles(containerdFiles)))),
    ...(await load(generateMessages(readProtoFiles(dragonflyFiles)))),
  };
});

async function load(contents: string): Promise<typeof parsed> {
  await using directory = await temporaryDirectory();
  const outfile = join(directory.path, 'messages.mjs');
  await build({
    stdin: { contents, resolveDir: fileURLToPath(new URL('.', import.meta.url)) },
    bundle: true,
    format: 'esm',
    platform: 'node',
    outfile,
  });
  return ((await import(pathToFileURL(outfile).href)) as typeof Messages).readServices();
}

/** The types of the messages of all calls, each as protobufjs has it and as it is generated. */
function messages(): readonly (readonly [protobuf.Type, MessageType])[] {
  return Object.entries(parsed).flatMap(([service, rpcs]) =>
    rpcs.flatMap((rpc, at) => {
      const twin = generated[service]?.[at];
      assert.ok(twin !== undefined && rpc.request instanceof protobuf.Type);
      assert.ok(rpc.response instanceof protobuf.Type);
      return [[rpc.request, twin.request] as const, [rpc.response, twin.response] as const];
    }),
  );
}

const integers: Readonly<Record<string, fc.Arbitrary<number>>> = {
  int32: fc.integer(),
  int64: fc.maxSafeInteger(),
  uint32: fc.nat(),
  uint64: fc.maxSafeNat(),
};

/** Values of a field, without what is repeated. */
function valueOf({ type, resolvedType }: protobuf.Field, depth: number): fc.Arbitrary<unknown> {
  if (resolvedType instanceof protobuf.Enum) return fc.constantFrom(...Object.keys(resolvedType.values));
  if (resolvedType !== null) return valueOfType(resolvedType, depth - 1);
  if (type === 'string') return fc.string({ unit: 'grapheme' });
  if (type === 'bool') return fc.boolean();
  if (type === 'bytes') return fc.uint8Array().map(bytes => Buffer.from(bytes));
  return integers[type] ?? assert.fail(`no values of ${type}`);
}

function valueOfType(type: protobuf.Type, depth: number): fc.Arbitrary<object> {
  if (depth === 0) return fc.constant({});
  const fields = type.fieldsArray.map(field => {
    const value = valueOf(field, depth);
    if (field instanceof protobuf.MapField)
      return [field.name, fc.dictionary(fc.string(), value, { maxKeys: 3 })] as const;
    return [field.name, field.repeated ? fc.array(value, { maxLength: 3 }) : value] as const;
  });
  return fc.record(Object.fromEntries(fields), { requiredKeys: [] });
}

const conversion = { longs: Number, enums: String, defaults: true, oneofs: true };

/** What comes of bytes: the message, or the error. */
function decode(type: MessageType, bytes: Uint8Array): unknown {
  try {
    return type.toObject(type.decode(bytes), conversion);
  } catch (thrown) {
    return String(thrown);
  }
}

test('the calls of each service are the same', () => {
  const calls = (services: typeof parsed) =>
    Object.entries(services).map(([service, rpcs]) => [
      service,
      rpcs.map(({ name, requestStream, responseStream }) => ({ name, requestStream, responseStream })),
    ]);
  assert.deepEqual(calls(generated), calls(parsed));
  assert.ok(messages().length > 30);
});

test('every message has the same bytes, and they give the same message', () => {
  for (const [type, twin] of messages()) {
    const property = fc.property(valueOfType(type, 4), value => {
      const bytes = Buffer.from(type.encode(type.fromObject(value)).finish());
      assert.deepEqual(Buffer.from(twin.encode(twin.fromObject(value)).finish()), bytes);
      assert.deepEqual(decode(twin, bytes), decode(type, bytes));
    });
    fc.assert(property, { numRuns: 30 });
  }
});

test('bytes that are no message are refused for the same reason', () => {
  const refused = new Set<unknown>();
  for (const [type, twin] of messages()) {
    const property = fc.property(fc.uint8Array({ maxLength: 40 }), bytes => {
      const outcome = decode(type, bytes);
      assert.deepEqual(decode(twin, bytes), outcome);
      if (typeof outcome === 'string') refused.add(outcome);
    });
    fc.assert(property, { numRuns: 50 });
  }
  assert.ok(refused.size > 3, [...refused].join());
});
