import { mkdtemp, rm } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type DemoLayer, type PushedArtifact, pushArtifact } from '../../../src/cli/demo/artifact.ts';
import { type DemoRegistry, deliver, openDemoRegistry, type Reply } from '../../../src/cli/demo/registry.ts';
import { createServer } from '../os/http.ts';
import { type Fault, spoil } from './fault.ts';
import { type Guard, openGuard } from './guard.ts';

/** A request as rules see it. `path` includes its query; `nth` counts from 1 for each method and path. */
export type Asked = {
  readonly method: string;
  readonly path: string;
  readonly nth: number;
  readonly headers: Readonly<IncomingMessage['headers']>;
};

export type FaultyRegistry = AsyncDisposable & {
  /** `127.0.0.1:<port>`, or that of the listener. */
  readonly host: string;
  /** For what `push` cannot do: an index, or a blob alone. */
  readonly registry: DemoRegistry;
  /** Every request so far, in order, including token requests. */
  readonly asked: readonly Asked[];
  /** The number of requests with this method and this end of the path. */
  count(method: string, pathEnd: string): number;
  /** The bytes of responses to GET that were sent, for paths with this end. */
  sent(pathEnd: string): number;
  /** The bodies of responses to GET that are being sent, for paths with this part. */
  streams(pathPart: string): number;
  /** The one rule for faults, which replaces the last one; undefined means a correct response. */
  fault(rule: (asked: Asked) => Fault | undefined): void;
  /** Replaces the guard; undefined admits everyone. */
  guard(next: Guard | undefined): void;
  /** Clears rule, requests and counts. What was pushed stays. */
  reset(): void;
  /** Pushes past guard and faults. */
  push(
    repository: string,
    tag: string,
    layers: readonly DemoLayer[],
    artifactType?: string,
  ): Promise<PushedArtifact & { readonly reference: string }>;
};

/**
 * The embedded registry on loopback or behind a `listener` of elsewhere, in a temporary directory, with faults and a
 * guard in front of it.
 */
export async function openFaultyRegistry(
  options: { readonly guard?: Guard; readonly tls?: ServerOptions; readonly listener?: Server } = {},
): Promise<FaultyRegistry> {
  const directory = await mkdtemp(join(tmpdir(), 'faulty-registry-'));
  const registry = openDemoRegistry(directory);
  const asked: Asked[] = [];
  const counts = new Map<string, number>();
  const sent = new Map<string, number>();
  const streams = new Map<object, string>();
  let rule: (asked: Asked) => Fault | undefined = () => undefined;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url: path = '' } = request;
    const nth = (counts.get(`${method} ${path}`) ?? 0) + 1;
    counts.set(`${method} ${path}`, nth);
    const entry = { method, path, nth, headers: { ...request.headers } };
    asked.push(entry);
    const fault = rule(entry);
    if (fault?.kind === 'raw') {
      response.socket?.end(fault.text);
      return;
    }
    if (fault?.kind === 'late') await sleep(fault.ms);
    if (fault?.kind === 'no-range') delete request.headers.range;
    const reply = (await guard?.(request)) ?? (await registry.answer(request));
    const { body, ...head } = fault === undefined ? reply : spoil(reply, fault);
    await deliver({ ...head, body: method === 'GET' ? counted(path, body) : body }, response);
  }

  async function* counted(path: string, body: Reply['body']) {
    const stream = {};
    streams.set(stream, path);
    try {
      for await (const chunk of body) {
        sent.set(path, (sent.get(path) ?? 0) + chunk.length);
        yield chunk;
      }
    } finally {
      streams.delete(stream);
    }
  }

  const server = options.tls === undefined ? createServer() : createTlsServer(options.tls);
  server.on('request', (request, response) => void answer(request, response));
  const listener = options.listener?.on('connection', socket => server.emit('connection', socket)) ?? server;
  if (!listener.listening) await new Promise<void>(resolve => listener.listen(0, '127.0.0.1', resolve));
  const { address, port } = listener.address() as AddressInfo;
  const host = `${address}:${port}`;
  const origin = `${options.tls === undefined ? 'http' : 'https'}://${host}`;
  const guardBy = (next: Guard | undefined) => (next === undefined ? undefined : openGuard(next, origin));
  let guard = guardBy(options.guard);

  return {
    host,
    registry,
    asked,
    count: (method, pathEnd) =>
      asked.filter(entry => entry.method === method && entry.path.endsWith(pathEnd)).length,
    sent: pathEnd =>
      [...sent].reduce((sum, [path, bytes]) => (path.endsWith(pathEnd) ? sum + bytes : sum), 0),
    streams: pathPart => [...streams.values()].filter(path => path.includes(pathPart)).length,
    fault(next) {
      rule = next;
    },
    guard(next) {
      guard = guardBy(next);
    },
    reset() {
      rule = () => undefined;
      asked.length = 0;
      counts.clear();
    },
    async push(repository, tag, layers, artifactType) {
      const pushed = await pushArtifact(registry, repository, tag, layers, artifactType);
      return { ...pushed, reference: `${host}/${repository}:${tag}` };
    },
    async [Symbol.asyncDispose]() {
      const closed = new Promise(resolve => listener.close(resolve));
      server.closeAllConnections();
      await closed;
      await rm(directory, { recursive: true, force: true });
    },
  };
}
