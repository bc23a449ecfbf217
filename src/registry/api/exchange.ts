import type { Credential } from '../../oci/credential.ts';
import { ArtifactError } from '../../util/error.ts';
import { type Authorizer, secretOf } from '../auth/authorizer.ts';
import { parseChallenges } from '../auth/challenge.ts';
import type { Upstream } from '../config/route.ts';
import type { LazyPauses } from '../http/lazy-modules.ts';
import { type FinalResponse, follow } from '../http/redirect.ts';
import { collect, type Head, type HttpRequest, type Receiver, type Send } from '../http/request.ts';
import { toResponseError } from '../http/response-error.ts';
import { type Clock, TransientError } from '../http/retry.ts';

/**
 * A request to a registry. `path` is relative to the repository and may have a query. `subject` names the requested
 * object in errors.
 */
export type ApiRequest = {
  readonly method: 'GET' | 'HEAD';
  readonly upstream: Upstream;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly credential: Credential;
  readonly subject: string;
  readonly transport?: HttpRequest['transport'];
  /** The statuses that count as an answer, after a challenge was met. All others are thrown. */
  readonly wanted: ReadonlySet<number> | 'any';
};

/**
 * Sends one request, follows redirects and answers one challenge. `accept` sees only wanted responses.
 *
 * @throws TransientError; Paused; ArtifactError `not-found`, `unauthenticated`, `denied`, `unavailable`, `cancelled`;
 *   what `accept` throws.
 */
export type Exchange = (
  question: ApiRequest,
  accept: (arrival: FinalResponse) => Receiver,
  signal: AbortSignal,
) => Promise<FinalResponse>;

const maxErrorBytes = 64 * 1024;

export function openExchange(send: Send, authorizer: Authorizer, clock: Clock, pauses: LazyPauses): Exchange {
  const schemeOf = openSchemes();

  return async (question, accept, signal) => {
    const { upstream, credential } = question;
    const isWanted = (status: number): boolean => question.wanted === 'any' || question.wanted.has(status);
    const isChallenge = ({ status, home, headers }: FinalResponse): boolean =>
      status === 401 && home && !renewed && headers['www-authenticate'] !== undefined;
    const shown = () => ({ ...upstream.headers, ...(authorization === undefined ? {} : { authorization }) });
    const refuse = (arrival: FinalResponse, body: Uint8Array) =>
      toResponseError(arrival, body, question, shown(), clock.now());
    let complaint: ReturnType<typeof collect> | undefined;
    const receive = (here: FinalResponse): Receiver => {
      if (isWanted(here.status) && !isChallenge(here)) {
        if (here.status < 400) pauses.opened?.answered(pausable);
        return accept(here);
      }
      complaint = collect(maxErrorBytes, () => refuse(here, Buffer.of()));
      return complaint.receive;
    };
    const pausable = { host: upstream.host, secret: secretOf(credential), subject: question.subject };
    pauses.opened?.verify(pausable);
    let renewed = false;
    let authorization = authorizer.recall(upstream, credential);
    let scheme = schemeOf(upstream);
    try {
      for (;;) {
        const { origin, answered } = scheme;
        const noting: Send = (request, take, signal) => {
          const takeNoted = (head: Head): Receiver => {
            answered();
            return take(head);
          };
          return send(request, takeNoted, signal);
        };
        const arrival = await follow(noting, toRequest(question, origin), shown(), receive, signal).catch(
          (thrown: unknown) => {
            scheme = scheme.next(thrown, signal);
          },
        );
        if (arrival === undefined) continue;
        if (isChallenge(arrival)) {
          const challenges = parseChallenges(arrival.headers['www-authenticate'] ?? '');
          const refused = authorization;
          authorization = await authorizer.answer(challenges, upstream, credential, refused, signal);
          // A refused password is not sent again: some servers count attempts and lock the account.
          renewed = authorization !== refused;
          scheme = schemeOf(upstream);
          if (renewed) continue;
        }
        if (isWanted(arrival.status)) return arrival;
        throw refuse(arrival, complaint?.bytes() ?? Buffer.of());
      }
    } catch (thrown) {
      if (!(thrown instanceof TransientError) || thrown.afterMs === 0) throw thrown;
      throw (await pauses.open()).toError(pausable, thrown);
    }
  };
}

function toRequest({ upstream, credential, method, path, headers, transport }: ApiRequest, origin: string) {
  // Mirrors that serve several registries learn which one is meant, as with containerd.
  const meant = upstream.mirrorOf ?? upstream.namespace;
  const namespace = meant === undefined ? '' : `ns=${encodeURIComponent(meant)}`;
  const separator = namespace === '' ? '' : path.includes('?') ? '&' : '?';
  const { mirrorOf, insecure, trust, connectMs, responseMs, origin: by } = upstream;
  return {
    method,
    url: new URL(`${origin}${upstream.root}/${upstream.path}/${path}${separator}${namespace}`),
    headers: {
      ...headers,
      // Bytes are verified as they arrive, so the response must not be compressed.
      'accept-encoding': 'identity',
      'user-agent': 'oci-artifact-csi',
    },
    insecure,
    trust,
    connectMs,
    responseMs,
    origin: by,
    transport,
    purpose: { credential: credential.source, ...(mirrorOf === undefined ? {} : { mirrorOf }) },
  };
}

/** One attempt by https or http. */
export type SchemeChoice = {
  /** `https://host:port` */
  readonly origin: string;
  /** Call it once the server has sent anything. */
  answered(): void;
  /** Returns the next attempt after a failure. @throws the failure, with the one before, if there is none. */
  next(failure: unknown, signal: AbortSignal): SchemeChoice;
};

/** Returns the first attempt. */
export type Schemes = (upstream: Upstream) => SchemeChoice;

/**
 * Uses the scheme of the upstream if it has one. A secure upstream is reached by https. An insecure one is tried by
 * https, then by http. The scheme that answered is remembered for the host until it fails.
 */
function openSchemes(): Schemes {
  const known = new Map<string, 'https' | 'http'>();

  function choose(host: string, scheme: 'https' | 'http', isRemembered: boolean, first?: unknown) {
    let answered = false;
    return {
      origin: `${scheme}://${host}`,
      answered() {
        answered = true;
        known.set(host, scheme);
      },
      next(failure: unknown, signal: AbortSignal): SchemeChoice {
        if (answered || signal.aborted) throw failure;
        if (first !== undefined) throw both(first, failure);
        known.delete(host);
        if (isRemembered) throw failure;
        return choose(host, 'http', false, failure);
      },
    };
  }

  return ({ host, insecure, scheme }) => {
    if (scheme !== undefined || !insecure) return only(`${scheme ?? 'https'}://${host}`);
    const remembered = known.get(host);
    return choose(host, remembered ?? 'https', remembered !== undefined);
  };
}

function only(origin: string): SchemeChoice {
  return {
    origin,
    answered() {},
    next(failure) {
      throw failure;
    },
  };
}

function both(first: unknown, second: unknown): unknown {
  if (!(first instanceof ArtifactError) || !(second instanceof ArtifactError)) return second;
  const message = `by https: ${first.message}; by http: ${second.message}`;
  return [first, second].some(failure => failure instanceof TransientError)
    ? new TransientError('unavailable', message, second)
    : new ArtifactError('unavailable', message, second);
}
