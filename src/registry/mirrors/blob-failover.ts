import { ArtifactError } from '../../util/error.ts';
import { type Transfer, transfer } from '../api/blob.ts';
import type { Exchange } from '../api/exchange.ts';
import { openProvenanceRecord } from './provenance.ts';
import type { Asked } from '../api/manifest.ts';
import { TransientError, type RetryPolicy, startMirrorRetries } from '../http/retry.ts';
import type { Upstream } from '../config/upstream.ts';
import type { MirrorHealth } from './mirror-health.ts';
import { type FailoverRequest, failover } from './failover.ts';

/**
 * Downloads a blob into a sink from the upstreams of a route. The next one continues at the byte where the last one
 * stopped. Bytes of mirrors are verified while there are other upstreams: those that sent part of wrong content are not
 * asked again for it. The caller verifies what the last upstream sent alone.
 *
 * Returns the source: the registry if it sent any of it, since then it has the blob; else a mirror.
 *
 * @throws as `failover` and `transfer`.
 */
export async function fetchFromAny(
  exchange: Exchange,
  request: FailoverRequest,
  { descriptor, sink, transport }: Pick<Transfer, 'descriptor' | 'sink' | 'transport'>,
  health: MirrorHealth,
  startRetries: () => RetryPolicy,
  signal: AbortSignal,
): Promise<Upstream> {
  let { route } = request;
  if (route.mirrors.length === 0 || sink.offset === descriptor.size) {
    const bring = async (asked: Asked): Promise<Upstream> => {
      await transfer(exchange, { ...asked, descriptor, sink, transport }, startRetries(), signal);
      return asked.upstream;
    };
    return await failover({ ...request, route: { ...route, mirrors: [] } }, health, bring, signal);
  }
  const provenance = openProvenanceRecord(sink, descriptor);
  for (;;) {
    const bring = async (asked: Asked, isLast: boolean): Promise<void> => {
      provenance.source = asked.upstream;
      const policy = isLast ? startRetries() : startMirrorRetries();
      await transfer(exchange, { ...asked, descriptor, sink: provenance, transport }, policy, signal).catch(
        (thrown: unknown) => {
          // An end that looks complete had other content.
          const ended = isCorrupt(thrown) && thrown instanceof TransientError;
          if (!isLast && ended && provenance.sources.has(asked.upstream)) provenance.restart();
          throw thrown;
        },
      );
    };
    await failover({ ...request, route }, health, bring, signal);
    const { last } = route;
    const mirrors = [...provenance.sources].filter(upstream => upstream !== last);
    const source =
      [...provenance.sources].find(({ mirrorOf }) => mirrorOf === undefined) ?? mirrors[0] ?? last;
    if (mirrors.length === 0) return source;
    const alone = provenance.sources.size === 1 && !provenance.resumed;
    try {
      await provenance.verify();
      if (provenance.source !== undefined) health.good(provenance.source);
      return source;
    } catch (thrown) {
      if (!isCorrupt(thrown)) throw thrown;
      for (const mirror of mirrors) {
        const lie = new ArtifactError('corrupt', `${mirror.host} sent wrong bytes: ${thrown.message}`);
        if (alone) health.bad(mirror, request.keyring.id, lie);
        request.tried.push(lie.message);
      }
      provenance.restart();
      route = { last, mirrors: route.mirrors.filter(mirror => !mirrors.includes(mirror)) };
    }
  }
}

function isCorrupt(thrown: unknown): thrown is ArtifactError {
  return thrown instanceof ArtifactError && thrown.code === 'corrupt';
}
