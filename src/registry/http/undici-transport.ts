import { Agent, buildConnector, type Dispatcher } from 'undici';
import { toArtifactError } from '../../util/error.ts';
import { openLru } from '../../util/memo.ts';
import { cancelled, toConnectionError } from './connection-error.ts';
import type { Proxies, Proxy } from './egress.ts';
import { lookupWithin, senderOf } from './redirect.ts';
import {
  anyRate,
  type Head,
  type HttpRequest,
  type LeastRate,
  type Receiver,
  type Send,
  watchRate,
} from './request.ts';
import { plainTrust, type Tls, type TlsTrust } from './tls.ts';
import { openTunnel, proxyRefusal } from './tunnel.ts';

/** Keep-alive connections of undici. HTTP/1.1 only: HTTP/2 measured slower for bodies. */
export type UndiciTransport = AsyncDisposable & { readonly send: Send };

/** `fence` and its `origin`: absent for a proxy. */
type Server = Pick<HttpRequest, 'trust' | 'connectMs' | 'fence'> & Partial<Pick<HttpRequest, 'origin'>>;

const nowhere: HttpRequest['origin'] = { kind: 'reference' };

export type TransportOptions = {
  readonly tls: Tls;
  readonly proxies: Proxies;
  /** The CAs to trust for a proxy. */
  readonly trust: () => TlsTrust;
  /** Milliseconds that a server may send nothing. */
  readonly stallMs: number;
  readonly leastRate?: LeastRate;
};

export function openUndiciTransport({
  tls,
  proxies,
  trust,
  stallMs,
  leastRate = anyRate,
}: TransportOptions): UndiciTransport {
  const agents = openLru<Agent>(agent => void agent.close());
  const closing = new AbortController();

  function connectorFor(
    { trust: shown, connectMs, fence, origin = nowhere }: Server,
    tunnel: Proxy | undefined,
  ): buildConnector.connector {
    const connect = keepFirstError(
      buildConnector({
        ...tls.options(shown),
        allowH2: false,
        timeout: connectMs,
        // A proxy resolves names itself.
        ...(fence === undefined || tunnel !== undefined ? {} : { lookup: lookupWithin(fence, origin) }),
      }),
    );
    if (tunnel === undefined) return connect;
    const dial = async (
      options: buildConnector.Options,
      callback: buildConnector.Callback,
    ): Promise<void> => {
      const url = new URL(`https://${options.host ?? options.hostname}`);
      try {
        const httpSocket = await openTunnel(tunnel, url, connectMs, tls.options(trust()), closing.signal);
        connect({ ...options, httpSocket }, callback);
      } catch (thrown) {
        callback(toArtifactError(thrown), null);
      }
    };
    return (options, callback) => void dial(options, callback);
  }

  function agentFor(server: Server, tunnel: Proxy | undefined): Agent {
    const { trust: shown, connectMs, fence, origin = nowhere } = server;
    const within = fence === undefined ? 'open' : `${fence} ${senderOf(origin)}`;
    return agents.take(
      [shown.insecure, shown.id, tunnel === undefined ? '' : 'tunnel', connectMs, within].join(' '),
      () =>
        new Agent({
          allowH2: false,
          headersTimeout: stallMs,
          bodyTimeout: stallMs,
          connect: connectorFor(server, tunnel),
        }),
    );
  }

  /** https goes through a tunnel. For http the proxy is asked in place of the server, with the whole URL. */
  function toDispatch(sent: HttpRequest, proxy: Proxy | undefined) {
    const { url, method, headers, body, connectMs, responseMs } = sent;
    const request = {
      method,
      ...(body === undefined ? {} : { body }),
      ...(responseMs === undefined ? {} : { headersTimeout: responseMs }),
    };
    if (proxy === undefined || url.protocol === 'https:') {
      const path = `${url.pathname}${url.search}`;
      return {
        agent: agentFor(sent, proxy),
        options: { ...request, origin: url.origin, path, headers },
      };
    }
    const own = proxy.authorization === undefined ? {} : { 'proxy-authorization': proxy.authorization };
    return {
      agent: agentFor(
        { trust: proxy.url.protocol === 'https:' ? trust() : plainTrust, connectMs },
        undefined,
      ),
      options: {
        ...request,
        origin: proxy.url.origin,
        path: url.href,
        headers: { ...headers, host: url.host, ...own },
      },
    };
  }

  const send: Send = (request, accept, signal) =>
    new Promise((resolve, reject) => {
      let head: Head | undefined;
      let receive: Receiver | undefined;
      let controller: Dispatcher.DispatchController | undefined;
      const end = (failure: Error) => {
        controller?.abort(failure);
        reject(failure);
        settle();
      };
      const abort = () => end(cancelled(signal));
      let received = 0;
      let isHeld = false;
      /** Whether the receiver waited since the rate was last measured. */
      let waited = false;
      const sinceThen = (): number | undefined => {
        const isSlowed = waited;
        waited = isHeld;
        return isSlowed ? undefined : received;
      };
      let watch: Disposable | undefined;
      const settle = () => {
        signal.removeEventListener('abort', abort);
        watch?.[Symbol.dispose]();
      };
      /** undici reports what its handlers throw as a failure of the connection; our errors are thrown unchanged. */
      let ours: { readonly thrown: unknown } | undefined;
      const guarded = <T>(run: () => T): T => {
        try {
          return run();
        } catch (thrown) {
          ours = { thrown };
          throw thrown;
        }
      };
      if (signal.aborted) return abort();
      const proxy = proxies.find(request.url);
      const { agent, options } = toDispatch(request, proxy);
      signal.addEventListener('abort', abort);
      agent.dispatch(options, {
        onRequestStart(started) {
          controller = started;
          if (signal.aborted) started.abort(cancelled(signal));
        },
        onResponseStart(_, status, headers) {
          if (status < 200) return;
          const arrived = { status, headers: toHeaders(headers) };
          head = arrived;
          watch = watchRate(leastRate, request.url, sinceThen, end);
          receive = guarded(() => {
            if (status === 407 && proxy !== undefined) throw proxyRefusal(proxy, request.url, status);
            return accept(arrived);
          });
        },
        onResponseData(arriving, chunk) {
          received += chunk.length;
          const room = guarded(() => receive?.(chunk));
          if (room === undefined) return;
          isHeld = true;
          waited = true;
          arriving.pause();
          const goOn = (): void => {
            isHeld = false;
            arriving.resume();
          };
          void room.then(goOn);
        },
        onResponseEnd() {
          settle();
          if (head !== undefined) resolve(head);
        },
        onResponseError(_, failure) {
          settle();
          reject(ours === undefined ? toConnectionError(failure, request, head !== undefined) : ours.thrown);
        },
      });
    });

  return {
    send,
    async [Symbol.asyncDispose]() {
      closing.abort();
      for (const agent of agents.values()) await agent.destroy();
    },
  };
}

/** With TLS 1.3 a server refuses a certificate after the handshake; undici would report the later end instead. */
function keepFirstError(connect: buildConnector.connector): buildConnector.connector {
  return (options, callback) =>
    connect(options, (...[failure, socket]: buildConnector.CallbackArgs) => {
      if (failure !== null) return callback(failure, null);
      socket.once('error', thrown => socket.destroy(thrown));
      callback(null, socket);
    });
}

function toHeaders(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  const joined: Record<string, string> = Object.create(null);
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) joined[name.toLowerCase()] = Array.isArray(value) ? value.join(', ') : value;
  }
  return joined;
}
