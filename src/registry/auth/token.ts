import type { Credential } from '../../oci/credential.ts';
import { ArtifactError } from '../../util/error.ts';
import { parseJson } from '../../util/json.ts';
import type { Upstream } from '../config/route.ts';
import { formatErrorBody, shownBy } from '../http/error-body.ts';
import type { HostOrigin } from '../http/host-origin.ts';
import { type FinalResponse, follow, toFence } from '../http/redirect.ts';
import { collect, describeEncoding, type Fence, type Send, usualConnectMs } from '../http/request.ts';
import { adviceOf, RefusalError, toResponseError } from '../http/response-error.ts';
import { TransientError } from '../http/retry.ts';
import { type TlsTrust, withoutPairs } from '../http/tls.ts';
import type { Challenge } from './challenge.ts';

/** A bearer token and its lifetime in seconds. */
export type Token = { readonly text: string; readonly lifetime: number };

const maxBytes = 64 * 1024;
/** The lifetime in seconds if the server does not report one (distribution's token specification). */
const defaultLifetime = 60;
const maxLifetime = 3600;

/**
 * Requests a token from the realm of a Bearer challenge (distribution's token and OAuth2 specifications): by GET, with
 * Basic if the credential is a password, or by POST with an identity token. The headers configured for the upstream
 * also go to a realm of the same origin.
 *
 * @throws `unauthenticated` naming the credential's source if the realm refuses it; `denied` for a realm without https,
 *   except on the host of an insecure registry; TransientError; `unavailable`; `cancelled`.
 */
export async function fetchToken(
  send: Send,
  challenge: Challenge,
  upstream: Upstream,
  credential: Credential,
  now: number,
  signal: AbortSignal,
): Promise<Token> {
  const realm = parseRealm(challenge.parameters.get('realm') ?? '', upstream);
  const query = new URLSearchParams();
  const service = challenge.parameters.get('service');
  if (service !== undefined) query.set('service', service);
  const scopes = challenge.parameters.get('scope') || `repository:${upstream.path}:pull`;
  const byPost = credential.kind === 'identity-token';
  if (byPost) {
    query.set('grant_type', 'refresh_token');
    query.set('client_id', 'oci-artifact-csi');
    query.set('refresh_token', credential.token);
    query.set('scope', scopes);
  } else {
    for (const scope of scopes.split(' ')) query.append('scope', scope);
    for (const [name, value] of query) realm.url.searchParams.append(name, value);
  }
  const shown = {
    ...(realm.url.origin === originOf(upstream) ? upstream.headers : {}),
    ...(credential.kind === 'basic' ? { authorization: formatBasic(credential) } : {}),
  };
  const body = collect(
    maxBytes,
    () =>
      new ArtifactError(
        'unavailable',
        `the token server ${realm.url.host} sends more than ${maxBytes} bytes`,
      ),
  );
  const arrival = await follow(
    send,
    {
      method: byPost ? 'POST' : 'GET',
      url: realm.url,
      headers: {
        accept: 'application/json',
        'accept-encoding': 'identity',
        'user-agent': 'oci-artifact-csi',
        ...(byPost ? { 'content-type': 'application/x-www-form-urlencoded' } : {}),
      },
      ...(byPost ? { body: query.toString() } : {}),
      insecure: realm.insecure,
      trust: realm.trust,
      connectMs: realm.connectMs,
      origin: realm.origin,
      transport: undefined,
      ...(realm.fence === undefined ? {} : { fence: realm.fence }),
    },
    shown,
    () => body.receive,
    signal,
  );
  if (arrival.status === 200) return parseToken(body.bytes(), arrival);
  const subject = `a token for ${upstream.host}/${upstream.path}`;
  const refusal = toResponseError(arrival, body.bytes(), { subject, credential, upstream }, shown, now);
  if (refusal instanceof TransientError) throw refusal;
  const answer = `${arrival.url.host} answered ${arrival.status}${formatErrorBody(body.bytes(), shownBy(credential, shown))}`;
  const advice = adviceOf(credential, 'correct or renew that credential');
  throw new (refusal instanceof RefusalError ? RefusalError : ArtifactError)(
    'unauthenticated',
    `${subject} was asked for as ${credential.source}: ${answer}; ${advice}`,
  );
}

/** Returns the header value of a username and password (RFC 7617). */
export function formatBasic(credential: Credential & { readonly kind: 'basic' }): string {
  return `Basic ${Buffer.from(`${credential.username}:${credential.password}`).toString('base64')}`;
}

type Realm = {
  readonly url: URL;
  readonly insecure: boolean;
  readonly trust: TlsTrust;
  readonly connectMs: number;
  readonly origin: HostOrigin;
  readonly fence?: Fence;
};

/** Headers are configured only for upstreams that have a scheme. */
function originOf({ scheme = 'https', host }: Upstream): string {
  return new URL(`${scheme}://${host}`).origin;
}

/** Parses the URL of the token server. A host other than the upstream's must present a certificate of the same CAs. */
function parseRealm(text: string, upstream: Upstream): Realm {
  const url = URL.parse(text);
  const hostname = URL.parse(`https://${upstream.host}`)?.hostname;
  const near = url?.hostname === hostname;
  const insecure = upstream.insecure && near;
  if (url === null || (url.protocol !== 'https:' && !(insecure && url.protocol === 'http:'))) {
    throw new ArtifactError(
      'denied',
      url === null || url.host === ''
        ? `${upstream.host} names no address of a token server (the realm of its challenge), so it cannot be asked with a credential; correct its configuration`
        : `${upstream.host} names ${url.host} as its token server, and not by https, so no credential is sent there; have it name an https address`,
    );
  }
  url.username = '';
  url.password = '';
  const origin: HostOrigin = near ? upstream.origin : { kind: 'server', host: upstream.host };
  if (near) return { url, insecure, trust: upstream.trust, connectMs: upstream.connectMs, origin };
  const trust = { ...withoutPairs(upstream.trust), insecure: false };
  return { url, insecure, trust, connectMs: usualConnectMs, origin, fence: toFence(hostname ?? '') };
}

function parseToken(body: Uint8Array, { url, headers }: FinalResponse): Token {
  let parsed: unknown;
  try {
    parsed = parseJson(body);
  } catch {
    parsed = undefined;
  }
  const { token, access_token, expires_in }: Record<string, unknown> = { ...(parsed as object) };
  const text = typeof token === 'string' && token !== '' ? token : access_token;
  if (typeof text !== 'string' || !/^[\x21-\x7e]+$/.test(text)) {
    throw new ArtifactError(
      'unavailable',
      `the token server ${url.host} answered without a usable token${describeEncoding(headers)}`,
    );
  }
  const lifetime = typeof expires_in === 'number' && expires_in > 0 ? expires_in : defaultLifetime;
  return { text, lifetime: Math.min(lifetime, maxLifetime) };
}
