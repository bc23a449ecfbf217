import type { Credential } from '../../oci/credential.ts';
import { openAuthorizer } from '../auth/authorizer.ts';
import { parseChallenges } from '../auth/challenge.ts';
import type { Upstream } from '../config/upstream.ts';
import { type FinalResponse, follow } from '../http/redirect.ts';
import { collect, type Head, type HttpRequest, type Receiver, type Send } from '../http/request.ts';
import { toResponseError } from '../http/response-error.ts';
import type { Clock } from '../http/retry.ts';
import type { Pauses } from './pauses.ts';
import { openSchemes } from './scheme.ts';

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

export function openExchange(send: Send, clock: Clock, pauses: Pauses): Exchange {
  const schemeOf = openSchemes();
  const authorizer = openAuthorizer(send, clock);

  return async (question, accept, signal) => {
    const { upstream, credential } = question;
    const isWanted = (status: number): boolean => question.wanted === 'any' || question.wanted.has(status);
    const isChallenge = ({ status, home, headers }: FinalResponse): boolean =>
      status === 401 && home && !renewed && headers['www-authenticate'] !== undefined;
    const shown = () => ({ ...upstream.headers, ...(authorization === undefined ? {} : { authorization }) });
    const refuse = (arrival: FinalResponse, body: Uint8Array) =>
      toResponseError(arrival, body, question.subject, credential, shown(), clock.now());
    let complaint: ReturnType<typeof collect> | undefined;
    const receive = (here: FinalResponse): Receiver => {
      if (isWanted(here.status) && !isChallenge(here)) return accept(here);
      complaint = collect(maxErrorBytes, () => refuse(here, Buffer.of()));
      return complaint.receive;
    };
    pauses.verify(question);
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
      throw pauses.toError(question, thrown);
    }
  };
}

function toRequest({ upstream, credential, method, path, headers, transport }: ApiRequest, origin: string) {
  // Mirrors that serve several registries learn which one is meant, as with containerd.
  const meant = upstream.mirrorOf ?? upstream.namespace;
  const namespace = meant === undefined ? '' : `ns=${encodeURIComponent(meant)}`;
  const separator = namespace === '' ? '' : path.includes('?') ? '&' : '?';
  const { mirrorOf, insecure, trust, connectMs } = upstream;
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
    transport,
    purpose: { credential: credential.source, ...(mirrorOf === undefined ? {} : { mirrorOf }) },
  };
}
