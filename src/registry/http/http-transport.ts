import type { Agent, ClientRequest, RequestOptions } from 'node:http';
import type { Socket } from 'node:net';
import { addAbortSignal, Duplex } from 'node:stream';
import { http, https } from '../../util/node-http.ts';
import { cancelled, stall, toConnectionError } from './connection-error.ts';
import type { Proxies, Proxy } from './egress.ts';
import { lookupWithin } from './redirect.ts';
import {
  type Accept,
  anyRate,
  type Head,
  type HttpRequest,
  type LeastRate,
  type Send,
  watchRate,
} from './request.ts';
import { openLru, plainTrust, type Tls, type TlsTrust } from './tls.ts';
import { openTunnel, proxyRefusal } from './tunnel.ts';

/** Keep-alive connections of Node's own client. HTTP/1.1 only: HTTP/2 measured slower for bodies. */
export type HttpTransport = AsyncDisposable & { readonly send: Send };

type OnOpen = (failure: Error | null, socket: Duplex) => void;

type Server = Pick<HttpRequest, 'trust' | 'connectMs' | 'fence'>;

export type TransportOptions = {
  readonly tls: Tls;
  readonly proxies: Proxies;
  /** The CAs to trust for a proxy. */
  readonly trust: () => TlsTrust;
  /** Milliseconds that a server may send nothing. */
  readonly stallMs: number;
  readonly leastRate?: LeastRate;
};

/** An idle connection is closed before common servers close it, the earliest after 5 s. */
const idleMs = 4_000;

export function openHttpTransport({
  tls,
  proxies,
  trust,
  stallMs,
  leastRate = anyRate,
}: TransportOptions): HttpTransport {
  const agents = openLru<Agent>();
  const closing = new AbortController();

  function openAgent(isSecure: boolean, server: Server, tunnel: Proxy | undefined): Agent {
    const { trust: shown, connectMs, fence } = server;
    const options = {
      keepAlive: true,
      timeout: idleMs,
      // A proxy resolves names itself.
      ...(fence === undefined || tunnel !== undefined ? {} : { lookup: lookupWithin(fence) }),
    };
    const agent = isSecure ? new https.Agent({ ...options, ...tls.options(shown) }) : new http.Agent(options);
    const connect = agent.createConnection.bind(agent);
    /** A request gets its connection when that is open, so that no failure before is taken for an early end. */
    const open = (target: RequestOptions, onOpen: OnOpen): null => {
      const socket = addAbortSignal(closing.signal, connect(target) as Socket);
      const late = setTimeout(() => {
        socket.destroy(new Error(`no connection in ${connectMs / 1_000} s`));
      }, connectMs);
      // The first call counts. A server refuses a certificate after the handshake of TLS 1.3.
      socket.on('error', failure => onOpen(failure, socket)).once('close', () => clearTimeout(late));
      socket.once(isSecure ? 'secureConnect' : 'connect', () => {
        clearTimeout(late);
        onOpen(null, socket);
      });
      return null;
    };
    agent.createConnection = (target, onOpen = () => {}) => {
      if (tunnel === undefined) return open(target, onOpen);
      const url = new URL(`https://${target.host}:${target.port}`);
      void openTunnel(tunnel, url, connectMs, tls.options(trust()), closing.signal).then(
        socket => open(Object.assign(target, { socket }), onOpen),
        (failure: Error) => onOpen(failure, new Duplex()),
      );
      return null;
    };
    return agent;
  }

  function agentFor(protocol: string, server: Server, tunnel: Proxy | undefined): Agent {
    const { trust: shown, connectMs, fence } = server;
    return agents.take(
      [
        protocol,
        shown.insecure,
        shown.id,
        tunnel === undefined ? '' : 'tunnel',
        connectMs,
        fence ?? 'open',
      ].join(' '),
      () => openAgent(protocol === 'https:', server, tunnel),
    );
  }

  /** https goes through a tunnel. For http the proxy is asked in place of the server, with the whole URL. */
  function start(sent: HttpRequest, proxy: Proxy | undefined): ClientRequest {
    const { url, method, headers, connectMs } = sent;
    if (proxy === undefined || url.protocol === 'https:') {
      const path = `${url.pathname}${url.search}`;
      return startTo(url, { method, path, headers, agent: agentFor(url.protocol, sent, proxy) });
    }
    const own = proxy.authorization === undefined ? {} : { 'proxy-authorization': proxy.authorization };
    const shown = proxy.url.protocol === 'https:' ? trust() : plainTrust;
    return startTo(proxy.url, {
      method,
      path: url.href,
      headers: { ...headers, host: url.host, ...own },
      agent: agentFor(proxy.url.protocol, { trust: shown, connectMs }, undefined),
    });
  }

  /** Undefined if the server had closed the reused connection, which is no failure. */
  async function sendOnce(
    request: HttpRequest,
    accept: Accept,
    signal: AbortSignal,
  ): Promise<Head | undefined> {
    const { url, body } = request;
    const proxy = proxies.find(url);
    const { promise, resolve, reject } = Promise.withResolvers<Head | undefined>();
    let head: Head | undefined;
    let received = 0;
    /** What follows the first failure is that the connection is closed. */
    const end = (failure: unknown): void => {
      if (sent.destroyed) return;
      reject(failure);
      sent.destroy();
    };
    const abort = (): void => end(cancelled(signal));
    const breakOff = (thrown: unknown): void => {
      if (sent.reusedSocket && head === undefined) resolve(undefined);
      reject(toConnectionError(thrown, url, head !== undefined));
    };
    const sent = start(request, proxy);
    using _watch = watchRate(leastRate, url, () => received, end);
    using silence = openSilence(stallMs, () => end(stall(url)));
    const guard = (step: () => void): void => {
      silence.restart();
      try {
        step();
      } catch (thrown) {
        end(thrown);
      }
    };
    signal.addEventListener('abort', abort);
    sent
      .on('finish', () => {
        if (head === undefined) silence.restart();
      })
      .on('error', breakOff)
      .on('close', () => breakOff(new Error('the connection was closed')))
      .on('response', answer => {
        guard(() => {
          const status = answer.statusCode ?? 0;
          if (status === 407 && proxy !== undefined) throw proxyRefusal(proxy, url, status);
          const arrived = { status, headers: toHeaders(answer.headersDistinct) };
          head = arrived;
          const receive = accept(arrived);
          answer.on('error', breakOff);
          answer.on('data', (chunk: Buffer) => {
            received += chunk.length;
            guard(() => receive(chunk));
          });
          answer.on('end', () => resolve(arrived));
        });
      })
      .end(body);
    try {
      return await promise;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  const send: Send = async (request, accept, signal) => {
    if (signal.aborted) throw cancelled(signal);
    const head = await sendOnce(request, accept, signal);
    return head ?? send(request, accept, signal);
  };

  return {
    send,
    async [Symbol.asyncDispose]() {
      closing.abort();
    },
  };
}

function startTo(url: URL, options: RequestOptions): ClientRequest {
  const { protocol, hostname, port } = url;
  const target = { ...options, protocol, hostname: hostname.replace(/^\[|\]$/g, ''), port };
  return protocol === 'https:' ? https.request(target) : http.request(target);
}

/** How long a server has sent nothing: the same time is for its head, whole, and for each piece of the body. */
function openSilence(ms: number, onEnd: () => void): Disposable & { readonly restart: () => void } {
  let timer: NodeJS.Timeout | undefined;
  return {
    restart() {
      timer ??= setTimeout(onEnd, ms);
      timer.refresh();
    },
    [Symbol.dispose]: () => clearTimeout(timer),
  };
}

function toHeaders(headers: NodeJS.Dict<string[]>): Head['headers'] {
  const joined: Record<string, string> = Object.create(null);
  for (const [name, values = []] of Object.entries(headers)) joined[name] = values.join(', ');
  return joined;
}
