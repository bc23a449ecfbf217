import { verifyFence } from './address-fence.ts';
import type { Proxies } from './proxies.ts';
import type { Head, HttpRequest, RequestPurpose, Send } from './request.ts';
import type { Clock } from './retry.ts';
import { joinTrust, type TlsTrust } from './tls-trust.ts';

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
  /** Sends what has no transport of its own, and all that goes through a proxy. */
  readonly send: Send;
  readonly proxies: Proxies;
  /** The CAs to trust for every server beside the system's. */
  readonly trust: () => TlsTrust;
  /** Whether the node's configuration names a host[:port]: a server may redirect there. */
  readonly isNamed: (host: string) => boolean;
  readonly onRequest: OnRequest;
  readonly clock: Pick<Clock, 'now'>;
};

/**
 * The way out of every request, redirects and token requests included: it keeps a request within its fence, adds the
 * CAs of the node, chooses the transport, and reports the request when it is over.
 */
export function openEgress({ send, proxies, trust, isNamed, onRequest, clock }: EgressOptions): Send {
  return async (original, accept, signal) => {
    const start = clock.now();
    let head: Head | undefined;
    const report = (outcome: Pick<RequestReport, 'error'>): void =>
      onRequest({ ...describe(original, head), ms: clock.now() - start, ...original.purpose, ...outcome });
    try {
      const fenced = verifyFence(original, isNamed);
      const isPlain = fenced.url.protocol === 'http:';
      const request = isPlain ? fenced : { ...fenced, trust: joinTrust(fenced.trust, trust()) };
      // A proxy limits the rate, and `send` is fast enough for that.
      const own = proxies.find(request.url) === undefined ? request.transport : undefined;
      const answer = await (own?.send ?? send)(
        request,
        found => {
          head = found;
          return accept(found);
        },
        signal,
      );
      report({});
      return answer;
    } catch (thrown) {
      report({ error: thrown instanceof Error ? thrown.message : String(thrown) });
      throw thrown;
    }
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
