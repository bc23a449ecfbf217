import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { temporaryDirectory } from '../os/temporary.ts';
import { makeCertificate } from '../signing/certificate.ts';
import { toKubeconfig, token } from './kube-api.ts';

/** The fields of an event that tests look at. */
export type StoredEvent = {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly involvedObject: {
    readonly kind: string;
    readonly namespace: string;
    readonly name: string;
    readonly uid: string;
  };
  readonly type: string;
  readonly reason: string;
  readonly message: string;
  readonly count: number;
  readonly source: { readonly component: string; readonly host: string };
  readonly firstTimestamp: string;
  readonly lastTimestamp: string;
};

/** A response in place of the right one. */
export type EventFault =
  | { readonly kind: 'silence' }
  | {
      readonly kind: 'status';
      readonly code: number;
      readonly message?: string;
      readonly headers?: Readonly<Record<string, string>>;
    };

export type EventServer = AsyncDisposable & {
  /** A file for KUBECONFIG. */
  readonly kubeconfig: string;
  /** A directory as kubelet mounts it for a service account. */
  readonly account: string;
  readonly host: string;
  readonly port: number;
  /** Each request: method, path, and its time in milliseconds. */
  readonly asked: readonly { readonly method: string; readonly path: string; readonly at: number }[];
  /** The stored events, in the order of their creation. */
  events(): readonly StoredEvent[];
  /** Removes an event, as the API does after an hour. */
  expire(name: string): void;
  /** Sets the fault of each request; undefined: none. */
  fault(fault: (request: { method: string; path: string }) => EventFault | undefined): void;
};

/** The part of a Kubernetes API server that stores events, on loopback with TLS. */
export async function openEventServer(): Promise<EventServer> {
  const directory = await temporaryDirectory();
  const certificate = makeCertificate();
  const stored = new Map<string, StoredEvent>();
  const asked: { method: string; path: string; at: number }[] = [];
  let faultOf: Parameters<EventServer['fault']>[0] = () => undefined;

  const respond = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method = '', headers } = request;
    const { pathname: path } = new URL(request.url ?? '/', 'https://api.test');
    asked.push({ method, path, at: performance.now() });
    const fault = faultOf({ method, path });
    if (fault?.kind === 'silence') return;
    if (fault !== undefined) return answer(response, fault.code, statusOf(fault), fault.headers);
    if (headers.authorization !== `Bearer ${token}`) return answer(response, 401, {});
    const body = JSON.parse(Buffer.concat(await Array.fromAsync(request)).toString()) as StoredEvent;
    const [, namespace = '', name] =
      /^\/api\/v1\/namespaces\/([^/]+)\/events(?:\/([^/]+))?$/.exec(path) ?? [];
    if (method === 'POST' && name === undefined) {
      const key = `${namespace}/${body.metadata.name}`;
      const isRight = headers['content-type'] === 'application/json' && body.metadata.namespace === namespace;
      if (!isRight) return answer(response, 400, {});
      if (stored.has(key)) return answer(response, 409, {});
      stored.set(key, body);
      return answer(response, 201, body);
    }
    const before = stored.get(`${namespace}/${name}`);
    if (method !== 'PATCH' || before === undefined) return answer(response, 404, {});
    if (headers['content-type'] !== 'application/merge-patch+json') return answer(response, 415, {});
    const after = { ...before, ...body };
    stored.set(`${namespace}/${name}`, after);
    return answer(response, 200, after);
  };
  const server = createServer(certificate, (request, response) => void respond(request, response));
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const kubeconfig = join(directory.path, 'kubeconfig');
  await writeFile(kubeconfig, toKubeconfig(`https://127.0.0.1:${port}`, certificate.cert, token));
  await writeFile(join(directory.path, 'ca.crt'), certificate.cert);
  await writeFile(join(directory.path, 'token'), `${token}\n`);
  return {
    kubeconfig,
    account: directory.path,
    host: '127.0.0.1',
    port,
    asked,
    events: () => [...stored.values()],
    expire(name) {
      for (const [key, { metadata }] of stored) if (metadata.name === name) stored.delete(key);
    },
    fault(next) {
      faultOf = next;
    },
    async [Symbol.asyncDispose]() {
      const closed = new Promise(resolve => server.close(resolve));
      server.closeAllConnections();
      await closed;
      await directory[Symbol.asyncDispose]();
    },
  };
}

/** Milliseconds by which the wire and the machine may delay a request more than a later one. */
const jitterMs = 300;

/** Verifies that requests came at least so far apart, over any number of them. */
export function verifyPace(times: readonly number[], spacingMs: number): void {
  for (const [first, from] of times.entries())
    for (const [count, at] of times.slice(first).entries())
      assert.ok(at - from >= count * spacingMs - jitterMs, `${count + 1} requests in ${at - from} ms`);
}

function statusOf({ code, message = '' }: { code: number; message?: string }): object {
  return { kind: 'Status', apiVersion: 'v1', status: 'Failure', message, code };
}

function answer(
  response: ServerResponse,
  code: number,
  body: object,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(code, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}
