import { BlockList, isIP } from 'node:net';
import { ArtifactError } from '../../util/error.ts';
import { verifyFence } from './redirect.ts';
import type { Head, HttpRequest, RequestPurpose, Send } from './request.ts';
import type { Clock } from './retry.ts';
import { joinTrust, type TlsTrust } from './tls.ts';

/** One request to one server. `path` lacks its query, which may be signed. Nothing here is secret. */
export type RequestReport = RequestPurpose & {
  readonly method: HttpRequest['method'];
  readonly host: string;
  readonly path: string;
  /** Milliseconds until the last byte of the response, or the failure. */
  readonly ms: number;
  /** Absent if there was no response. */
  readonly status?: number;
  /** The announced number of bytes. */
  readonly bytes?: number;
  readonly error?: string;
};

export type OnRequest = (report: RequestReport) => void;

export type EgressOptions = {
  /** Sends what goes to the server itself and has no transport of its own. */
  readonly send: Send;
  /** Sends all that goes through a proxy. */
  readonly sendByProxy: Send;
  readonly proxies: Proxies;
  /** The CAs to trust for every server beside the system's. */
  readonly trust: () => TlsTrust;
  /** Whether the node's configuration names a host[:port]: a server may redirect there. */
  readonly isNamed: (host: string) => boolean;
  readonly onRequest: OnRequest;
  readonly clock: Pick<Clock, 'elapsed'>;
};

/**
 * The way out of every request, redirects and token requests included: it keeps a request within its fence, adds the
 * CAs of the node, chooses the transport, and reports the request when it is over.
 */
export function openEgress({
  send,
  sendByProxy,
  proxies,
  trust,
  isNamed,
  onRequest,
  clock,
}: EgressOptions): Send {
  return (original, accept, signal) => {
    const start = clock.elapsed();
    let head: Head | undefined;
    const report = (outcome: Pick<RequestReport, 'error'>): void =>
      onRequest({
        ...describe(original, head),
        ms: Math.round(clock.elapsed() - start),
        ...original.purpose,
        ...outcome,
      });
    const answer = Promise.try(() => {
      const fenced = verifyFence(original, isNamed);
      const isPlain = fenced.url.protocol === 'http:';
      const request = isPlain ? fenced : { ...fenced, trust: joinTrust(fenced.trust, trust()) };
      // A proxy limits the rate, and `sendByProxy` is fast enough for that.
      const isDirect = proxies.find(request.url) === undefined;
      return (isDirect ? (request.transport?.send ?? send) : sendByProxy)(
        request,
        found => {
          head = found;
          return accept(found);
        },
        signal,
      );
    });
    answer.then(
      () => report({}),
      (thrown: unknown) => report({ error: thrown instanceof Error ? thrown.message : String(thrown) }),
    );
    return answer;
  };
}

function describe({ method, url }: HttpRequest, head: Head | undefined): Omit<RequestReport, 'ms'> {
  const length = Number(head?.headers['content-length']);
  return {
    method,
    host: url.host,
    path: url.pathname,
    ...(head === undefined ? {} : { status: head.status }),
    ...(Number.isSafeInteger(length) ? { bytes: length } : {}),
  };
}

/** A proxy. `authorization` is the value of Proxy-Authorization, from the username and password of its URL; secret. */
export type Proxy = { readonly url: URL; readonly authorization?: string };

/** Returns the proxy for a URL; undefined for none. */
export type Proxies = { find(url: URL): Proxy | undefined };

/**
 * Reads HTTPS_PROXY, HTTP_PROXY and NO_PROXY of an environment, or the same in lower case, as Go programs and so
 * container runtimes do: no proxy for localhost and loopback. NO_PROXY is a list of `*`, `name` (and subdomains),
 * `.name` or `*.name` (only subdomains), addresses and CIDRs, each with an optional `:port`.
 *
 * @throws ArtifactError `invalid` for anything but an http or https URL; it does not quote a password.
 */
export function parseProxies(environment: Readonly<Record<string, string | undefined>>): Proxies {
  const read = (name: string): string | undefined =>
    environment[name] || environment[name.toLowerCase()] || undefined;
  const http = toProxy('HTTP_PROXY', read('HTTP_PROXY'));
  const https = toProxy('HTTPS_PROXY', read('HTTPS_PROXY'));
  if (http === undefined && https === undefined) return noProxies;
  const direct = [...(read('NO_PROXY') ?? '').split(','), 'localhost', '127.0.0.0/8', '::1/128'].map(
    toExemption,
  );
  return {
    find(url) {
      const proxy = url.protocol === 'https:' ? https : http;
      if (proxy === undefined) return undefined;
      const host = url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
      const port = url.port || (url.protocol === 'https:' ? '443' : '80');
      return direct.some(exempts => exempts(host, port)) ? undefined : proxy;
    },
  };
}

export const noProxies: Proxies = { find: () => undefined };

function toProxy(name: string, text: string | undefined): Proxy | undefined {
  if (text === undefined) return undefined;
  const url = URL.parse(text.includes('://') ? text : `http://${text}`);
  if (/^socks\w*:/i.test(text)) {
    throw new ArtifactError(
      'invalid',
      `${name} names a SOCKS proxy, which this program does not speak to; name one that speaks HTTP: http://host:port`,
    );
  }
  if (url === null || !['http:', 'https:'].includes(url.protocol) || url.hostname === '') {
    throw new ArtifactError('invalid', `${name} is not the address of a proxy: must be http://host:port`);
  }
  const { username, password } = url;
  url.username = '';
  url.password = '';
  if (username === '' && password === '') return { url };
  const pair = `${decode(username)}:${decode(password)}`;
  return { url, authorization: `Basic ${Buffer.from(pair).toString('base64')}` };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

type Exempts = (host: string, port: string) => boolean;

function toExemption(entry: string): Exempts {
  const text = entry.trim().toLowerCase();
  if (text === '') return () => false;
  if (text === '*') return () => true;
  const subnet = toSubnet(text);
  if (subnet !== undefined) return host => isIP(host) !== 0 && subnet.check(host, familyOf(host));
  const [, bracketed, plain = '', port] =
    /^(?:\[([^\]]*)\]|(.*?))(?::(\d+))?$/.exec(isIP(text) === 6 ? `[${text}]` : text) ?? [];
  const name = (bracketed ?? plain).replace(/^\*(?=\.)/, '');
  return (host, asked) => {
    if (port !== undefined && port !== asked) return false;
    if (isIP(name) !== 0) return sameAddress(name, host);
    return name.startsWith('.') ? host.endsWith(name) : host === name || host.endsWith(`.${name}`);
  };
}

function toSubnet(text: string): BlockList | undefined {
  const [, address = '', bits = ''] = /^([0-9a-f.:]+)\/(\d{1,3})$/.exec(text) ?? [];
  const family = isIP(address);
  if (family === 0 || Number(bits) > (family === 4 ? 32 : 128)) return undefined;
  const list = new BlockList();
  list.addSubnet(address, Number(bits), familyOf(address));
  return list;
}

function sameAddress(left: string, right: string): boolean {
  if (isIP(right) === 0) return false;
  const list = new BlockList();
  list.addAddress(left, familyOf(left));
  return list.check(right, familyOf(right));
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4';
}
