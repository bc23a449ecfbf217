import { type LookupAddress, lookup as resolve } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { ArtifactError } from '../../util/error.ts';
import { advise, type HostOrigin } from './host-origin.ts';
import {
  collect,
  type Fence,
  type Head,
  type HttpRequest,
  type Receiver,
  type Send,
  usualConnectMs,
} from './request.ts';
import { withoutPairs } from './tls.ts';

/** A response other than a redirect. `home`: the server that was asked first sent it. */
export type FinalResponse = Head & { readonly url: URL; readonly home: boolean };

const maxRedirects = 10;
/** The bytes that are read of the page that comes with a redirect. */
const maxPageBytes = 64 * 1024;
const statuses = new Set([301, 302, 303, 307, 308]);

/**
 * Sends a request and follows redirects. `secret` headers and client certificates go to the first server alone, and a
 * body is never forwarded. Redirect targets are fenced: see Fence.
 *
 * @throws what `send` throws; `denied` for a redirect from https to http, unless the request is insecure; `unavailable`
 *   for one without a usable target, or the eleventh.
 */
export async function follow(
  send: Send,
  request: HttpRequest,
  secret: Readonly<Record<string, string>>,
  accept: (arrival: FinalResponse) => Receiver,
  signal: AbortSignal,
): Promise<FinalResponse> {
  let url = request.url;
  // A request that was redirected away and back follows another server's choice: nothing secret is sent there.
  let home = true;
  let sender = url.host;
  for (let redirects = 0; ; redirects += 1) {
    const here = url;
    home &&= here.origin === request.url.origin;
    const next: HttpRequest = home
      ? { ...request, url: here, headers: { ...request.headers, ...secret } }
      : {
          ...request,
          url: here,
          trust: withoutPairs(request.trust),
          connectMs: usualConnectMs,
          responseMs: undefined,
          origin: { kind: 'server', host: sender },
          fence: request.fence ?? toFence(request.url.hostname),
        };
    const isRedirect = (head: Head) => statuses.has(head.status) && head.headers.location !== undefined;
    const head = await send(
      next,
      answer => (isRedirect(answer) ? page(here).receive : accept({ ...answer, url: here, home })),
      signal,
    );
    if (!isRedirect(head)) return { ...head, url: here, home };
    if (request.body !== undefined) {
      throw new ArtifactError(
        'unavailable',
        `${here.host} redirects the request for a token, which has a credential and so is not sent elsewhere; correct the address of the token server at the registry`,
      );
    }
    if (redirects === maxRedirects) {
      throw new ArtifactError(
        'unavailable',
        `after ${maxRedirects} redirects from ${request.url.host} on, ${here.host} redirects again; correct the redirects of these servers`,
      );
    }
    sender = here.host;
    url = toTarget(head.headers.location ?? '', here, next);
  }
}

function page(url: URL): ReturnType<typeof collect> {
  return collect(
    maxPageBytes,
    () =>
      new ArtifactError(
        'unavailable',
        `${url.host} sends more than ${maxPageBytes} bytes with a redirect; correct that server`,
      ),
  );
}

/** Resolves a Location against a URL. @throws as `follow`. */
function toTarget(
  location: string,
  from: URL,
  { insecure, origin }: Pick<HttpRequest, 'insecure' | 'origin'>,
): URL {
  const url = URL.parse(location, from);
  if (url === null || !['https:', 'http:'].includes(url.protocol)) {
    throw new ArtifactError(
      'unavailable',
      `${from.host} redirects to an address that is neither http nor https; correct that server`,
    );
  }
  if (url.protocol === 'http:' && from.protocol === 'https:' && !insecure) {
    throw new ArtifactError(
      'denied',
      `${from.host} redirects from https to plain http at ${url.host}, which is refused; ${advise('downgrade', from.host, origin)}`,
    );
  }
  url.username = '';
  url.password = '';
  return url;
}

/**
 * IPv4-compatible, IPv4-translated, and NAT64 with the well-known and the local prefix (RFC 4291, 2765, 6052, 8215).
 */
const embedding = ['::', '::ffff:0:', '64:ff9b::', '64:ff9b:1::'];

const loopback = ['127.0.0.0/8', '0.0.0.0/8'];
const otherLocals = ['169.254.0.0/16', '100.100.100.200/32', '168.63.129.16/32', '192.0.0.192/32'];
/** Metadata services of AWS (for pods and for nodes), Google and Scaleway. */
const otherLocals6 = ['fe80::/10', 'fd00:ec2::/32', 'fd20:ce::254/128', 'fd00:42::42/128'];

const loopbacks = listOf([...loopback, '::1/128', '::/128']);
const locals = listOf([...loopback, ...otherLocals, '::1/128', '::/128', ...otherLocals6]);

/**
 * Returns the fence for URLs that a host names. The host's name does not count, because the host may choose it: only
 * addresses count, and `localhost`.
 */
export function toFence(hostname: string): Fence {
  const host = unbracketed(hostname);
  return host === 'localhost' || isLocal(host) ? host : '';
}

/**
 * Returns a request that may be sent: without its fence if the node's configuration names its host[:port].
 *
 * @throws ArtifactError `denied` if it leads to a local address beyond its fence.
 */
export function verifyFence(request: HttpRequest, isNamed: (host: string) => boolean): HttpRequest {
  const { fence, ...open } = request;
  if (fence === undefined) return request;
  if (isNamed(request.url.host)) return open;
  const host = unbracketed(request.url.hostname);
  if (isIP(host) !== 0) verifyAddresses([host], host, fence, request.origin);
  return request;
}

/** Resolves names for fenced connections to a server that the node came to as `origin` says. */
export function lookupWithin(fence: Fence, origin: HostOrigin): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (failure, found) => {
      if (failure !== null) return callback(failure, '');
      let left: readonly LookupAddress[];
      try {
        const allowed = verifyAddresses(
          found.map(({ address }) => address),
          hostname,
          fence,
          origin,
        );
        left = found.filter(({ address }) => allowed.includes(address));
      } catch (thrown) {
        return callback(thrown as Error, '');
      }
      const [first] = left;
      if (options.all === true) callback(null, [...left]);
      else callback(null, first?.address ?? '', first?.family);
    });
  };
}

/** Returns the allowed addresses. @throws ArtifactError `denied` if none is left. */
function verifyAddresses(
  addresses: readonly string[],
  hostname: string,
  fence: Fence,
  origin: HostOrigin,
): readonly string[] {
  const left = addresses.filter(address => !isLocal(address) || isWithin(address, fence));
  if (left.length > 0 || addresses.length === 0) return left;
  throw new ArtifactError(
    'denied',
    `${senderOf(origin)} sends this node to ${formatHost(hostname, addresses)}: an address of the node itself, its link or a metadata service; that is refused; if it is meant, name that host and its port in registries.conf or hosts.toml`,
  );
}

/** The server that names the URL of a fenced request, for messages. */
export function senderOf(origin: HostOrigin): string {
  return 'host' in origin ? origin.host : 'a server';
}

/** All of loopback is one host. */
function isWithin(address: string, fence: Fence): boolean {
  return address === fence || (isIn(loopbacks, address) && (fence === 'localhost' || isIn(loopbacks, fence)));
}

function isLocal(address: string): boolean {
  return isIn(locals, address);
}

function isIn(list: BlockList, address: string): boolean {
  const family = isIP(address);
  return family !== 0 && list.check(address, family === 4 ? 'ipv4' : 'ipv6');
}

function unbracketed(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
}

/** Adds the IPv6 addresses that embed IPv4 addresses, including 6to4. BlockList itself handles mapped ones. */
function listOf(subnets: readonly string[]): BlockList {
  const list = new BlockList();
  for (const subnet of subnets) {
    const [address = '', bits = ''] = subnet.split('/');
    list.addSubnet(address, Number(bits), isIP(address) === 4 ? 'ipv4' : 'ipv6');
    if (isIP(address) !== 4) continue;
    const hex = address.split('.').map(part => Number(part).toString(16).padStart(2, '0'));
    const [high, low] = [hex.slice(0, 2).join(''), hex.slice(2).join('')];
    for (const prefix of embedding) list.addSubnet(`${prefix}${high}:${low}`, 96 + Number(bits), 'ipv6');
    list.addSubnet(`2002:${high}:${low}::`, 16 + Number(bits), 'ipv6');
  }
  return list;
}

function formatHost(hostname: string, addresses: readonly string[]): string {
  const isAddress = addresses.every(address => hostname === address || hostname === `[${address}]`);
  return isAddress ? hostname : `${hostname}, which is at ${addresses.join(', ')}`;
}
