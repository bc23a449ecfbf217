import type { Credential, Keyring } from '../../oci/credential.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Reference } from '../../oci/reference.ts';
import type { OriginGate } from '../../ports/origin.ts';
import type { ServedBy, Sink } from '../../ports/registry.ts';
import { ArtifactError } from '../../util/error.ts';
import { type Pause, Paused } from '../../util/pause.ts';
import type { TokenBucket } from '../../util/token-bucket.ts';
import { transfer } from '../api/blob.ts';
import type { Exchange } from '../api/exchange.ts';
import type { FileTransfer } from '../api/file-part.ts';
import { type Asked, toServedBy } from '../api/manifest.ts';
import type { RangeRules } from '../api/range-rate.ts';
import { createRangeTransfer } from '../api/ranges.ts';
import type { Route, Upstream } from '../config/route.ts';
import type { Downloads } from '../download/downloads.ts';
import type { Handover } from '../dragonfly/handover.ts';
import { isEndpointError } from '../http/endpoint-error.ts';
import { RefusalError } from '../http/response-error.ts';
import { type RetryPolicy, startMirrorRetries, TransientError } from '../http/retry.ts';
import type { MirrorHealth } from './mirror-health.ts';
import type { OriginWindows } from './origin-window.ts';
import { openProvenanceRecord } from './provenance.ts';

/** The caller and its route. `tried` receives a message for each mirror that failed. */
export type FailoverRequest = {
  readonly route: Route;
  readonly subject: string;
  readonly keyring: Keyring;
  readonly tried: string[];
  /** Returns until when the registry is not asked after the failure of a mirror. */
  readonly withhold?: OriginWindows['after'];
  /** Called when the registry itself refuses a caller without any credential. */
  readonly refused?: () => Promise<void>;
};

/** Bytes of a blob for which a node may have to wait for its turn at the registry: configs and the like never do. */
const leastWithheld = 1024 * 1024;
const mostTold = 4;
const longestReason = 200;

/**
 * Asks each upstream of a route until one answers, with the credential for that upstream. Mirrors in backoff are
 * skipped. The last upstream is asked unless it is withheld.
 *
 * @throws what `attempt` throws at the last upstream, with the failures of the mirrors in its message; at once what no
 *   other upstream could avoid; Paused while the last upstream is withheld.
 */
export async function failover<T>(
  { route, subject, keyring, tried, withhold, refused }: FailoverRequest,
  health: MirrorHealth,
  attempt: (asked: Asked, isLast: boolean) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  let withheld: Pause | undefined;
  /** Returns whether the registry must wait for a mirror that failed. */
  const mustWait = (mirror: Upstream, failure: ArtifactError): boolean => {
    const pause = withhold?.(mirror, failure);
    if (pause !== undefined && pause.until > (withheld?.until ?? 0)) withheld = pause;
    return pause !== undefined;
  };
  for (let next = 0; ; next++) {
    const mirror = route.mirrors[next];
    const failure = mirror && health.against(mirror, keyring.id);
    if (mirror !== undefined && failure !== undefined) {
      mustWait(mirror, failure);
      tried.push(`${mirror.host} is skipped for a while (${toReason(failure.message, subject)})`);
      continue;
    }
    if (mirror === undefined && withheld !== undefined)
      throw withTried(new Paused(withheld, withheld.reason), tried);
    const upstream = mirror ?? route.last;
    let credential: Credential | undefined;
    try {
      credential = identify(await keyring.find(upstream, signal), upstream);
      return await attempt({ upstream, subject, credential }, mirror === undefined);
    } catch (thrown) {
      if (!isEndpointError(thrown)) throw thrown;
      if (mirror === undefined) {
        const isAnyone = upstream.mirrorOf === undefined && credential?.holder.kind === 'anyone';
        if (isAnyone && thrown instanceof RefusalError) await refused?.();
        throw withTried(thrown, tried);
      }
      // A mirror that is waited for is asked again in a few seconds.
      if (!mustWait(mirror, thrown)) health.bad(mirror, keyring.id, thrown);
      tried.push(toReason(thrown.message, subject));
    }
  }
}

/** A client certificate or a header of the configuration identifies the node: not anyone gets the same answer. */
function identify(credential: Credential, { headers, trust }: Upstream): Credential {
  const isNode = Object.keys(headers).length > 0 || trust.pairs.length > 0;
  return isNode && credential.kind === 'anonymous' ? { ...credential, holder: { kind: 'node' } } : credential;
}

/** In the order of time, so that the advice of the last error is the end. */
function withTried(thrown: ArtifactError, tried: readonly string[]): ArtifactError {
  if (tried.length === 0) return thrown;
  const told = tried.slice(0, mostTold).join('; ');
  const more = tried.length > mostTold ? `; and ${tried.length - mostTold} more` : '';
  return new ArtifactError(thrown.code, `${told}${more}; then ${thrown.message}`, thrown);
}

function toReason(message: string, subject: string): string {
  const short = message.replaceAll(`${subject}: `, '').replaceAll(subject, 'it');
  return short.length > longestReason ? `${short.slice(0, longestReason)}…` : short;
}

export type BlobWorld = {
  readonly exchange: Exchange;
  readonly downloads: Downloads;
  readonly health: MirrorHealth;
  /** Returns where content is asked for. Its errors are thrown unchanged. */
  readonly plan: (
    reference: Reference,
    digest: Digest,
    keyring: Keyring,
    signal: AbortSignal,
  ) => Promise<FailoverRequest>;
  readonly startRetries: (request: FailoverRequest) => RetryPolicy;
  readonly ranges: RangeRules;
  readonly bucketOf: BucketOf;
  readonly windows: OriginWindows;
  readonly gate: OriginGate | undefined;
  readonly handover: Pick<Handover, 'bring'> | undefined;
};

/** Returns what bounds the rate of all that comes from an upstream; undefined if nothing does. */
export type BucketOf = (upstream: ServedBy) => TokenBucket | undefined;

export type FetchBlob = (
  reference: Reference,
  descriptor: Descriptor,
  sink: Sink,
  keyring: Keyring,
  signal: AbortSignal,
) => Promise<ServedBy>;

/**
 * Downloads a blob into a sink from the upstreams of a route. The next one continues at the byte where the last one
 * stopped. Bytes of mirrors are verified while there are other upstreams: those that sent part of wrong content are not
 * asked again for it. The caller verifies what the last upstream sent alone.
 *
 * Returns the source: the registry if it sent any of it, since then it has the blob; else a mirror.
 *
 * @throws as `failover` and `transfer`.
 */
export function openBlobFailover(world: BlobWorld): FetchBlob {
  const { exchange, downloads, health, plan, startRetries, ranges, bucketOf, windows, gate, handover } =
    world;
  const inRanges = createRangeTransfer(world, ranges);
  type Bring = (
    blob: Omit<FileTransfer, 'bucket'>,
    policy: RetryPolicy,
    signal: AbortSignal,
  ) => Promise<void>;
  const bring: Bring = (unbounded, policy, signal) => {
    const blob = { ...unbounded, bucket: bucketOf(unbounded.upstream) };
    return blob.descriptor.size < ranges.leastLeft
      ? transfer(exchange, blob, policy, signal)
      : inRanges(blob, policy, signal);
  };
  const bringFromRegistry: Bring =
    gate === undefined
      ? bring
      : async (blob, policy, signal) => {
          const { sink, descriptor, upstream } = blob;
          const isHeldBack = descriptor.size >= leastWithheld && sink.isAwaited !== true;
          using _entry = isHeldBack ? await gate.enter(upstream, signal) : undefined;
          await bring(blob, policy, signal);
        };

  const bringFromMirror: Bring =
    handover === undefined
      ? bring
      : async (blob, policy, signal) => {
          await handover.bring({ ...blob, bucket: bucketOf(blob.upstream) }, signal);
          await bring(blob, policy, signal);
        };

  return async (reference, descriptor, sink, keyring, signal) => {
    const request = await plan(reference, descriptor.digest, keyring, signal);
    let { route } = request;
    const { last } = route;
    await using transport = downloads.open(sink.file, descriptor.size);
    if (route.mirrors.length === 0 || sink.offset === descriptor.size) {
      const ask = async (asked: Asked): Promise<ServedBy> => {
        await bringFromRegistry({ ...asked, descriptor, sink, transport }, startRetries(request), signal);
        return toServedBy(asked);
      };
      return await failover({ ...request, route: { last, mirrors: [] } }, health, ask, signal);
    }
    const provenance = openProvenanceRecord(sink, descriptor, source => {
      if (source !== last) gate?.came(last);
    });
    const servers = new Map<Upstream, ServedBy>();
    const ask = (asked: Asked, isLast: boolean): Promise<void> => {
      provenance.source = asked.upstream;
      servers.set(asked.upstream, toServedBy(asked));
      const blob = { ...asked, descriptor, sink: provenance, transport };
      return isLast
        ? bringFromRegistry(blob, startRetries(request), signal)
        : bringFromMirror(blob, startMirrorRetries(), signal);
    };
    const noting: MirrorHealth = {
      ...health,
      bad(mirror, asker, failure) {
        // An end that looks complete had other content.
        const ended = isCorrupt(failure) && failure instanceof TransientError;
        if (ended && provenance.sources.has(mirror)) provenance.restart();
        health.bad(mirror, asker, failure);
      },
    };
    for (;;) {
      await failover({ ...request, route, withhold: windows.after }, noting, ask, signal);
      const mirrors = [...provenance.sources].filter(upstream => upstream !== last);
      const source =
        [...provenance.sources].find(({ mirrorOf }) => mirrorOf === undefined) ?? mirrors[0] ?? last;
      const servedBy = servers.get(source) ?? source;
      if (mirrors.length === 0) return servedBy;
      const alone = provenance.sources.size === 1 && !provenance.resumed;
      try {
        await provenance.verify();
        if (provenance.source !== undefined) health.good(provenance.source);
        return servedBy;
      } catch (thrown) {
        if (!isCorrupt(thrown)) throw thrown;
        for (const mirror of mirrors) {
          const lie = new ArtifactError('corrupt', `${mirror.host} sent wrong bytes: ${thrown.message}`);
          if (alone) health.bad(mirror, keyring.id, lie);
          request.tried.push(lie.message);
        }
        provenance.restart();
        route = { last, mirrors: route.mirrors.filter(mirror => !mirrors.includes(mirror)) };
      }
    }
  };
}

function isCorrupt(thrown: unknown): thrown is ArtifactError {
  return thrown instanceof ArtifactError && thrown.code === 'corrupt';
}
