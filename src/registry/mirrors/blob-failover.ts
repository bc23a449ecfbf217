import { ArtifactError } from '../../util/error.ts';
import { type Transfer, transfer } from '../api/blob.ts';
import type { Exchange } from '../api/exchange.ts';
import { openLedger } from './provenance.ts';
import type { Asked } from '../api/manifest.ts';
import { Passing, type Patience, startMirrorPatience } from '../http/retry.ts';
import type { Place } from '../config/upstream.ts';
import type { Standings } from './mirror-health.ts';
import { type Journey, walk } from './failover.ts';

/**
 * Brings a blob into a sink from the places of a route: the next one goes on at the byte where the last one stopped.
 * What mirrors sent is verified while there are other places to ask: those that sent some of what turned out wrong are
 * asked no more for it. What the last place sent alone is the caller's to verify.
 *
 * Answers who gave it: the registry itself if it gave any of it, since then it has it; else a mirror.
 *
 * @throws as `walk` and `transfer`.
 */
export async function deliver(
  exchange: Exchange,
  journey: Journey,
  { descriptor, sink, line }: Pick<Transfer, 'descriptor' | 'sink' | 'line'>,
  standings: Standings,
  startPatience: () => Patience,
  signal: AbortSignal,
): Promise<Place> {
  let { route } = journey;
  if (route.mirrors.length === 0 || sink.offset === descriptor.size) {
    const bring = async (asked: Asked): Promise<Place> => {
      await transfer(exchange, { ...asked, descriptor, sink, line }, startPatience(), signal);
      return asked.place;
    };
    return await walk({ ...journey, route: { ...route, mirrors: [] } }, standings, bring, signal);
  }
  const ledger = openLedger(sink, descriptor);
  for (;;) {
    const bring = async (asked: Asked, isLast: boolean): Promise<void> => {
      ledger.giver = asked.place;
      const patience = isLast ? startPatience() : startMirrorPatience();
      await transfer(exchange, { ...asked, descriptor, sink: ledger, line }, patience, signal).catch(
        (thrown: unknown) => {
          // What ended as if it were all was something else.
          const ended = isCorrupt(thrown) && thrown instanceof Passing;
          if (!isLast && ended && ledger.givers.has(asked.place)) ledger.restart();
          throw thrown;
        },
      );
    };
    await walk({ ...journey, route }, standings, bring, signal);
    const { last } = route;
    const mirrors = [...ledger.givers].filter(place => place !== last);
    const giver = [...ledger.givers].find(({ mirrorOf }) => mirrorOf === undefined) ?? mirrors[0] ?? last;
    if (mirrors.length === 0) return giver;
    const alone = ledger.givers.size === 1 && !ledger.resumed;
    try {
      await ledger.verify();
      if (ledger.giver !== undefined) standings.good(ledger.giver);
      return giver;
    } catch (thrown) {
      if (!isCorrupt(thrown)) throw thrown;
      for (const mirror of mirrors) {
        const lie = new ArtifactError('corrupt', `${mirror.host} sent wrong bytes: ${thrown.message}`);
        if (alone) standings.bad(mirror, journey.keyring.id, lie);
        journey.tried.push(lie.message);
      }
      ledger.restart();
      route = { last, mirrors: route.mirrors.filter(mirror => !mirrors.includes(mirror)) };
    }
  }
}

function isCorrupt(thrown: unknown): thrown is ArtifactError {
  return thrown instanceof ArtifactError && thrown.code === 'corrupt';
}
