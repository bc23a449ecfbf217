import { type handleBidiStreamingCall, type ServiceDefinition, status } from '@grpc/grpc-js';
import type { ServerReflectionRequest__Output as Question } from '../wire/grpc/reflection/v1/ServerReflectionRequest.ts';
import type { ServerReflectionResponse as Answer } from '../wire/grpc/reflection/v1/ServerReflectionResponse.ts';
import { bothStreams, type Edge } from './call.ts';
import { loadDefinitions } from './definitions.ts';
import type { DescribedFile } from './descriptors.ts';

/** One version of the reflection service. v1 and v1alpha differ in their names only. */
export type ReflectionService = {
  readonly definition: ServiceDefinition;
  readonly handlers: { readonly ServerReflectionInfo: handleBidiStreamingCall<Question, Answer> };
};

/** Reflection of these services; `names` are full. The files are described at the first request. */
export function reflectionServices(edge: Edge, names: readonly string[]): readonly ReflectionService[] {
  let files: readonly DescribedFile[] | undefined;
  const handlers = {
    ServerReflectionInfo: bothStreams<Question, Answer>(edge, async (questions, send) => {
      for await (const question of questions) {
        files ??= (await import('./descriptors.ts')).describeFiles();
        await send({
          valid_host: question.host,
          original_request: question,
          ...reply(question, files, names),
        });
      }
    }),
  };
  const v1 = loadDefinitions().grpc.reflection.v1.ServerReflection.service;
  const method = v1.ServerReflectionInfo;
  const v1alpha = {
    ServerReflectionInfo: { ...method, path: method.path.replace('.v1.', '.v1alpha.') },
  };
  return [v1, v1alpha].map(definition => ({ definition, handlers }));
}

function reply(question: Question, files: readonly DescribedFile[], names: readonly string[]): Answer {
  switch (question.message_request) {
    case 'list_services':
      return { list_services_response: { service: names.map(name => ({ name })) } };
    case 'file_by_filename':
      return toFiles(files, ({ name }) => name === question.file_by_filename);
    case 'file_containing_symbol':
      return toFiles(files, ({ symbols }) => symbols.includes(question.file_containing_symbol ?? ''));
    case 'all_extension_numbers_of_type':
    case 'file_containing_extension':
      return refuse(status.NOT_FOUND, 'no message here has extensions');
    default:
      return refuse(status.INVALID_ARGUMENT, 'the question is empty');
  }
}

/** A file with its imports, none of which has imports. */
function toFiles(files: readonly DescribedFile[], isAsked: (file: DescribedFile) => boolean): Answer {
  const asked = files.find(isAsked);
  if (asked === undefined) return refuse(status.NOT_FOUND, 'no proto file here has that name or symbol');
  const imported = files.filter(({ name }) => asked.dependencies.includes(name));
  return {
    file_descriptor_response: { file_descriptor_proto: [asked, ...imported].map(({ bytes }) => bytes) },
  };
}

function refuse(code: status, message: string): Answer {
  return { error_response: { error_code: code, error_message: message } };
}
