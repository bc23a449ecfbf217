import { hash } from 'node:crypto';
import type { Credential } from '../../oci/credential.ts';
import type { Upstream } from '../config/route.ts';
import { cancelled } from '../http/connection-error.ts';
import type { Send } from '../http/request.ts';
import { adviceOf, RefusalError } from '../http/response-error.ts';
import { type Clock, TransientError } from '../http/retry.ts';
import type { Challenge } from './challenge.ts';
import { fetchToken, formatBasic } from './token.ts';

/** Answers challenges and remembers the answers. */
export type Authorizer = {
  /** Returns the Authorization header that last worked for this repository and credential, unless it has expired. */
  recall(upstream: Upstream, credential: Credential): string | undefined;
  /**
   * Returns a header other than `refused`.
   *
   * @throws as `fetchToken`; `unauthenticated` if the credential fits no challenge.
   */
  answer(
    challenges: readonly Challenge[],
    upstream: Upstream,
    credential: Credential,
    refused: string | undefined,
    signal: AbortSignal,
  ): Promise<string>;
};

type Grant = { readonly header: string; readonly until: number };

/** The number of characters of a scheme name that a message shows. */
const maxScheme = 32;
const basicLifetimeMs = 3_600_000;
const tokenTimeoutMs = 60_000;

/**
 * Grants are kept per host, repository and credential. Concurrent callers for the same grant share one token request,
 * which continues if one of them aborts.
 */
export function openAuthorizer(send: Send, clock: Clock): Authorizer {
  const grants = new Map<string, Grant>();
  const pending = new Map<string, Promise<Grant>>();

  async function earn(
    challenges: readonly Challenge[],
    upstream: Upstream,
    credential: Credential,
  ): Promise<Grant> {
    const start = clock.elapsed();
    const bearer = challenges.find(challenge => challenge.scheme === 'bearer');
    if (bearer !== undefined) {
      const signal = AbortSignal.timeout(tokenTimeoutMs);
      const token = await fetchToken(send, bearer, upstream, credential, clock.now(), signal).catch(
        thrown => {
          if (!signal.aborted) throw thrown;
          throw new TransientError(
            'unavailable',
            `the token server of ${upstream.host} did not answer in 60 s`,
            thrown,
          );
        },
      );
      return { header: `Bearer ${token.text}`, until: start + token.lifetime * 1000 };
    }
    if (challenges.some(challenge => challenge.scheme === 'basic') && credential.kind === 'basic') {
      return { header: formatBasic(credential), until: start + basicLifetimeMs };
    }
    const schemes = new Set(
      challenges.map(({ scheme }) => scheme).filter(scheme => scheme.length <= maxScheme),
    );
    const wanted = [...schemes].join(' or ') || 'a kind that it does not name';
    const where = `${upstream.host}/${upstream.path}`;
    if (!schemes.has('basic')) {
      throw new RefusalError(
        'unauthenticated',
        `${where} needs a credential (${wanted}), and the driver has those of basic and bearer only; have the registry offer one of these`,
      );
    }
    throw new RefusalError(
      'unauthenticated',
      credential.kind === 'anonymous'
        ? `${where} needs a credential (${wanted}); asked as ${credential.source}; ${adviceOf(credential, '')}`
        : `${where} needs a username and password (${wanted}), and ${credential.source} has an identity token; give it a username and password`,
    );
  }

  return {
    recall(upstream, credential) {
      const grant = grants.get(toKey(upstream, credential));
      return grant !== undefined && grant.until > clock.elapsed() ? grant.header : undefined;
    },
    async answer(challenges, upstream, credential, refused, signal) {
      const key = toKey(upstream, credential);
      const known = grants.get(key);
      if (known !== undefined && known.header !== refused && known.until > clock.elapsed())
        return known.header;
      let earning = pending.get(key);
      if (earning === undefined) {
        earning = earn(challenges, upstream, credential)
          .then(grant => {
            for (const [other, { until }] of grants) if (until <= clock.elapsed()) grants.delete(other);
            grants.set(key, grant);
            return grant;
          })
          .finally(() => pending.delete(key));
        pending.set(key, earning);
      }
      return (await orAbort(earning, signal)).header;
    },
  };
}

/** Credentials are equal if their values are equal, whatever their source and user. */
function toKey({ host, path, insecure }: Upstream, credential: Credential): string {
  return hash('sha256', JSON.stringify([host, path, insecure, secretOf(credential)]));
}

/** Returns the secret values of a credential without its texts: equal for two with the same access. */
export function secretOf(credential: Credential): object {
  switch (credential.kind) {
    case 'anonymous':
      return { kind: credential.kind };
    case 'basic':
      return { kind: credential.kind, username: credential.username, password: credential.password };
    case 'identity-token':
      return { kind: credential.kind, token: credential.token };
  }
}

/** Waits for a shared promise. @throws `cancelled` */
async function orAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = () => reject(cancelled(signal));
  signal.addEventListener('abort', abort);
  try {
    if (signal.aborted) abort();
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
