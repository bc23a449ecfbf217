import { ArtifactError } from '../../util/error.ts';
import { toFence } from './address-fence.ts';
import { collect, type Head, type HttpRequest, type Receiver, type Send, usualConnectMs } from './request.ts';
import { withoutPairs } from './tls-trust.ts';

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
  const fence = request.fence ?? toFence(request.url.hostname);
  for (let redirects = 0; ; redirects += 1) {
    const here = url;
    home &&= here.origin === request.url.origin;
    const next = home
      ? { ...request, url: here, headers: { ...request.headers, ...secret } }
      : { ...request, url: here, trust: withoutPairs(request.trust), connectMs: usualConnectMs, fence };
    const isRedirect = (head: Head) => statuses.has(head.status) && head.headers.location !== undefined;
    const head = await send(
      next,
      answer => (isRedirect(answer) ? page(here).receive : accept({ ...answer, url: here, home })),
      signal,
    );
    if (!isRedirect(head)) return { ...head, url: here, home };
    if (request.body !== undefined) {
      throw new ArtifactError('unavailable', `${here.host} redirects a POST, which is not followed`);
    }
    if (redirects === maxRedirects) {
      throw new ArtifactError('unavailable', `${request.url.host} redirects more than ${maxRedirects} times`);
    }
    url = toTarget(head.headers.location ?? '', here, request.insecure);
  }
}

function page(url: URL): ReturnType<typeof collect> {
  return collect(
    maxPageBytes,
    () => new ArtifactError('unavailable', `${url.host} redirects with more than ${maxPageBytes} bytes`),
  );
}

/** Resolves a Location against a URL. @throws as `follow`. */
function toTarget(location: string, from: URL, insecure: boolean): URL {
  const url = URL.parse(location, from);
  if (url === null || !['https:', 'http:'].includes(url.protocol)) {
    throw new ArtifactError('unavailable', `${from.host} redirects to what is no http or https address`);
  }
  if (url.protocol === 'http:' && from.protocol === 'https:' && !insecure) {
    throw new ArtifactError(
      'denied',
      `${from.host} redirects from https to plain http at ${url.host}, which is refused; mark the registry insecure in registries.conf if that is meant`,
    );
  }
  url.username = '';
  url.password = '';
  return url;
}
