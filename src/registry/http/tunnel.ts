import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { ArtifactError } from '../../util/error.ts';
import { cancelled } from './connection-error.ts';
import type { Proxy } from './egress.ts';
import { maxHeadBytes } from './request.ts';
import { TransientError } from './retry.ts';
import type { Tls } from './tls.ts';

/**
 * Opens a connection to a URL's server through a proxy, by CONNECT (RFC 9110, 9.3.6). TLS to the server runs inside it.
 * `tls` is how the proxy itself is verified, if it uses TLS.
 *
 * @throws TransientError; ArtifactError `unavailable` if the proxy refuses; `cancelled`.
 */
export function openTunnel(
  proxy: Proxy,
  url: URL,
  connectMs: number,
  tls: ReturnType<Tls['options']>,
  signal: AbortSignal,
): Promise<Socket> {
  const target = `${url.hostname}:${url.port || 443}`;
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const socket = connectTo(proxy, tls);
  let answer = '';
  const unreachable = (why: string): void =>
    fail(
      new TransientError(
        'unavailable',
        `${url.host} cannot be reached by the proxy ${proxy.url.host} (${why})`,
      ),
    );
  const abort = (): void => fail(cancelled(signal));
  const handlers = {
    timeout: () => unreachable(`no connection in ${connectMs / 1_000} s`),
    error: (thrown: Error) => unreachable(thrown.message),
    close: () => unreachable('it closed the connection'),
    [proxy.url.protocol === 'https:' ? 'secureConnect' : 'connect']: () => {
      const authorization =
        proxy.authorization === undefined ? '' : `proxy-authorization: ${proxy.authorization}\r\n`;
      socket.write(`CONNECT ${target} HTTP/1.1\r\nhost: ${target}\r\n${authorization}\r\n`);
    },
    data: (chunk: Buffer) => {
      answer += chunk.toString('latin1');
      if (!answer.includes('\r\n\r\n') && answer.length < maxHeadBytes) return;
      const status = Number(/^HTTP\/1\.[01] (\d{3})[ \r]/.exec(answer)?.[1] ?? 0);
      if (status >= 200 && status < 300) {
        settle();
        resolve(socket.pause());
      } else if (status >= 500 || status === 0) unreachable(`it answered ${status || 'with no HTTP'}`);
      else fail(proxyRefusal(proxy, url, status));
    },
  };
  function settle(): void {
    signal.removeEventListener('abort', abort);
    socket.setTimeout(0);
    for (const [event, handler] of Object.entries(handlers)) socket.off(event, handler);
  }
  function fail(error: ArtifactError): void {
    settle();
    socket.on('error', () => {}).destroy();
    reject(error);
  }
  socket.setTimeout(connectMs);
  for (const [event, handler] of Object.entries(handlers)) socket.on(event, handler);
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort);
  return promise;
}

function connectTo({ url }: Proxy, tls: ReturnType<Tls['options']>): Socket {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (url.protocol === 'http:') return connect({ host, port: Number(url.port || 80) });
  return connectTls({
    host,
    port: Number(url.port || 443),
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...tls,
  });
}

export function proxyRefusal({ url: { host } }: Proxy, url: URL, status: number): ArtifactError {
  const what =
    status === 407
      ? 'wants a user name and password: give them in the URL of HTTPS_PROXY and HTTP_PROXY'
      : 'does not let it through: change its rules, or name the host in NO_PROXY';
  return new ArtifactError(
    'unavailable',
    `${url.host} cannot be reached: the proxy ${host} answered ${status} and ${what}`,
  );
}
