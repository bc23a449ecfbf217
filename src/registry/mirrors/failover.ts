import type { Keyring } from '../../oci/credential.ts';
import { ArtifactError } from '../../util/error.ts';
import type { Asked } from '../api/manifest.ts';
import type { Route } from '../config/route.ts';
import { isEndpointError } from '../http/endpoint-error.ts';
import type { MirrorHealth } from './mirror-health.ts';

/** The caller and its route. `tried` receives a message for each mirror that failed. */
export type FailoverRequest = {
  readonly route: Route;
  readonly subject: string;
  readonly keyring: Keyring;
  readonly tried: string[];
};

const mostTold = 4;
const longestReason = 200;

/**
 * Asks each upstream of a route until one answers, with the credential for that upstream. Mirrors in backoff are
 * skipped. The last upstream is always asked.
 *
 * @throws what `attempt` throws at the last upstream, with the failures of the mirrors in its message; at once what no
 *   other upstream could avoid.
 */
export async function failover<T>(
  { route, subject, keyring, tried }: FailoverRequest,
  health: MirrorHealth,
  attempt: (asked: Asked, isLast: boolean) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  for (let next = 0; ; next++) {
    const mirror = route.mirrors[next];
    const reason = mirror && health.against(mirror, keyring.id);
    if (mirror !== undefined && reason !== undefined) {
      tried.push(`${mirror.host} is skipped for a while (${toReason(reason, subject)})`);
      continue;
    }
    const upstream = mirror ?? route.last;
    try {
      const credential = await keyring.find(upstream, signal);
      return await attempt({ upstream, subject, credential }, mirror === undefined);
    } catch (thrown) {
      if (!isEndpointError(thrown)) throw thrown;
      if (mirror === undefined) throw withTried(thrown, tried);
      health.bad(mirror, keyring.id, thrown);
      tried.push(toReason(thrown.message, subject));
    }
  }
}

function withTried(thrown: ArtifactError, tried: readonly string[]): ArtifactError {
  if (tried.length === 0) return thrown;
  const told = tried.slice(0, mostTold).join('; ');
  const more = tried.length > mostTold ? `; and ${tried.length - mostTold} more` : '';
  return new ArtifactError(thrown.code, `${thrown.message}; before that ${told}${more}`, thrown);
}

function toReason(message: string, subject: string): string {
  const short = message.replaceAll(`${subject}: `, '').replaceAll(subject, 'it');
  return short.length > longestReason ? `${short.slice(0, longestReason)}…` : short;
}
