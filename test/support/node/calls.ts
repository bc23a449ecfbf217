import type { CallOptions, Client, ServiceDefinition } from '@grpc/grpc-js';
import { Metadata } from '@grpc/grpc-js';
import type { MethodDefinition } from '@grpc/proto-loader';

/** The unary methods of a service as functions of promises; they reject with grpc's ServiceError. */
export type Calls<Definition> = {
  readonly [Name in keyof Definition as string extends Name
    ? never
    : Name]: Definition[Name] extends MethodDefinition<
    infer Request,
    infer _Reply,
    infer _Received,
    infer Response
  >
    ? (request: Request, options?: CallOptions) => Promise<Response>
    : never;
};

/** kubelet gives every call 2 minutes; here the default is 1. */
const timeoutMs = 60_000;

/** Calls of one service over a client's connection. */
export function openCalls<Definition extends ServiceDefinition>(
  client: Client,
  service: Definition,
): Calls<Definition> {
  const methods = Object.values(
    service as unknown as Readonly<Record<string, MethodDefinition<object, object>>>,
  );
  const calls = methods.map(({ path, requestSerialize, responseDeserialize }) => {
    const call = (request: object, options: CallOptions = {}): Promise<object | undefined> =>
      new Promise((resolve, reject) => {
        const deadline = Date.now() + timeoutMs;
        client.makeUnaryRequest(
          path,
          requestSerialize,
          responseDeserialize,
          request,
          new Metadata(),
          { deadline, ...options },
          (error, response) => (error === null ? resolve(response) : reject(error)),
        );
      });
    return [path.split('/').at(-1), call];
  });
  return Object.fromEntries(calls) as Calls<Definition>;
}
