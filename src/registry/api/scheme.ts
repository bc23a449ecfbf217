import { ArtifactError } from '../../util/error.ts';
import type { Upstream } from '../config/upstream.ts';
import { TransientError } from '../http/retry.ts';

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
export function openSchemes(): Schemes {
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
