import { setTimeout } from 'node:timers/promises';
import type { Keyring } from '../oci/credential.ts';
import type { Reference } from '../oci/reference.ts';
import type { OriginGate } from '../ports/origin.ts';
import type { Registry } from '../ports/registry.ts';
import { ArtifactError } from '../util/error.ts';
import { beginAllowance, receive } from '../util/token-bucket.ts';
import { openExchange } from './api/exchange.ts';
import { exists } from './api/exists.ts';
import { type Asked, fetchManifest, resolve, toServedBy } from './api/manifest.ts';
import { type RangeRules, usualRules } from './api/range-rate.ts';
import { listReferrers } from './api/referrers.ts';
import { openAuthorizer } from './auth/authorizer.ts';
import { atRegistry, type Route } from './config/route.ts';
import { openDownloads } from './download/downloads.ts';
import type { Handover, HandoverWorld } from './dragonfly/handover.ts';
import { cancelled } from './http/connection-error.ts';
import { noProxies, type OnRequest, openEgress, type Proxies } from './http/egress.ts';
import { openLazyPauses, openLazyTransport } from './http/lazy-modules.ts';
import { anyRate, type LeastRate } from './http/request.ts';
import { type Clock, type OnRetry, openRetryPolicy, type RetryPolicy, retry } from './http/retry.ts';
import { openTls, plainTrust, type TlsTrust } from './http/tls.ts';
import { openBlobBatches } from './mirrors/blob-batch.ts';
import {
  type BlobWorld,
  type BucketOf,
  type FailoverRequest,
  failover,
  openBlobFailover,
} from './mirrors/failover.ts';
import { type OnRest, openMirrorHealth } from './mirrors/mirror-health.ts';
import { openOriginWindows } from './mirrors/origin-window.ts';

export type RegistryOptions = {
  /** Returns the upstreams of a repository. Its errors are thrown unchanged. */
  readonly route: (
    reference: Reference,
    question: 'name' | 'content',
    signal: AbortSignal,
  ) => Route | Promise<Route>;
  /**
   * Whether the node's configuration names a host[:port]. Servers may redirect there, wherever it is. Default: no host.
   */
  readonly isNamed?: (host: string) => boolean;
  /**
   * Returns CAs to trust for every server beside the system's. Default: the system's alone. Its errors are thrown
   * unchanged.
   */
  readonly trust?: () => TlsTrust;
  /** Default: none. */
  readonly proxies?: Proxies;
  readonly onRetry?: OnRetry;
  readonly onRest?: OnRest;
  /** A registry has refused a repository to a caller without any credential. */
  readonly onRefused?: (reference: Reference) => Promise<void>;
  /** Receives a report of each request, including redirects and token requests. */
  readonly onRequest?: OnRequest;
  /** Milliseconds that a server may send nothing. Default: 30 s. */
  readonly stallMs?: number;
  /** Default: none. */
  readonly leastRate?: LeastRate;
  /** The longest wait that a server may ask for, in milliseconds. Default: 15 min. */
  readonly retryAfterMaxMs?: number;
  /** When a blob comes by several connections. */
  readonly ranges?: RangeRules;
  /** Default: nothing bounds the rate of downloads. */
  readonly bucketOf?: BucketOf;
  /** Default: every node takes blobs from registries whenever it wants. */
  readonly gate?: OriginGate | undefined;
  /** Opens what takes blobs from files of dfdaemon. Default: they come from its proxy. */
  readonly openHandover?: ((world: HandoverWorld) => Handover) | undefined;
  readonly clock?: Clock;
};

export type RegistryClient = AsyncDisposable &
  Registry & {
    /** Which hosts are not asked for a while, because they asked to wait or a mirror is waited for; one line each. */
    pauses(): readonly string[];
  };

const clockOfNode: Clock = {
  now: Date.now,
  elapsed: () => performance.now(),
  random: Math.random,
  sleep: (ms, signal) =>
    setTimeout(ms, undefined, { signal }).catch(() => {
      throw cancelled(signal);
    }),
};

/** A client of the OCI distribution API for all registries. Disposing it closes its connections. */
export function openRegistry(options: RegistryOptions): RegistryClient {
  const {
    route,
    isNamed = () => false,
    trust = () => plainTrust,
    proxies = noProxies,
    onRetry = () => {},
    onRest = () => {},
    onRefused = async () => {},
    onRequest = () => {},
    stallMs = 30_000,
    leastRate = anyRate,
    retryAfterMaxMs = 15 * 60_000,
    ranges = usualRules,
    bucketOf = () => undefined,
    gate,
    openHandover,
    clock = clockOfNode,
  } = options;
  const tls = openTls();
  const pool = openLazyTransport({ tls, proxies, trust, stallMs, leastRate });
  const downloads = openDownloads({ tls, stallMs, leastRate, otherwise: pool.send });
  const send = openEgress({
    send: downloads.send,
    sendByProxy: pool.send,
    proxies,
    trust,
    isNamed,
    onRequest,
    clock,
  });
  const pauses = openLazyPauses(clock, retryAfterMaxMs, onRetry);
  const authorizer = openAuthorizer(send, clock);
  const exchange = openExchange(send, authorizer, clock, pauses);
  const handover = openHandover?.({ authorizationOf: authorizer.recall, clock, onRest, stallMs });
  const health = openMirrorHealth(clock, onRest);

  async function plan(
    reference: Reference,
    question: 'name' | 'content',
    keyring: Keyring,
    version: string,
    signal: AbortSignal,
  ): Promise<FailoverRequest> {
    const subject = `${reference.registry}/${reference.path}${version}`;
    const refused = () => onRefused(reference);
    return { route: await route(reference, question, signal), subject, keyring, tried: [], refused };
  }

  const planContent: BlobWorld['plan'] = (reference, digest, keyring, signal) =>
    plan(reference, 'content', keyring, `@${digest}`, signal);

  function startRetries({ subject, keyring: { waiting } }: FailoverRequest): RetryPolicy {
    const tell: OnRetry = retry => {
      onRetry(retry);
      waiting?.tell(retry);
    };
    return openRetryPolicy(subject, clock, tell, { hasty: waiting?.hasty ?? false, leastRate });
  }

  /** Sends a small request, whose response is complete or absent: once to each mirror, with retries to the registry. */
  function ask<T>(
    request: FailoverRequest,
    question: (asked: Asked) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const policy = startRetries(request);
    return failover(
      request,
      health,
      async (asked, isLast) => {
        if (isLast) return await retry(() => question(asked), policy, signal);
        const answer = await question(asked);
        health.good(asked.upstream);
        return answer;
      },
      signal,
    );
  }

  const windows = openOriginWindows(clock);
  const blobs = {
    windows,
    exchange,
    downloads,
    health,
    plan: planContent,
    startRetries,
    ranges,
    bucketOf,
    gate,
    handover,
  };

  return {
    async resolve({ pinned, ...reference }, keyring, signal) {
      const digest = pinned ?? reference.digest;
      const name = digest ?? reference.tag ?? 'latest';
      const version = digest === undefined ? `:${name}` : `@${name}`;
      return await ask(
        await plan(reference, 'name', keyring, version, signal),
        async asked => {
          const descriptor = await resolve(exchange, asked, name, signal);
          return { descriptor, credential: asked.credential, servedBy: toServedBy(asked) };
        },
        signal,
      );
    },
    async manifest(reference, descriptor, keyring, signal) {
      const request = await planContent(reference, descriptor.digest, keyring, signal);
      return await ask(
        request,
        async asked => {
          const bucket = bucketOf(asked.upstream);
          const allowance = bucket && (await beginAllowance(bucket, descriptor.size, signal));
          const bytes = await fetchManifest(exchange, asked, descriptor, signal);
          if (allowance !== undefined) void receive(allowance, bytes.length);
          return { bytes, servedBy: toServedBy(asked) };
        },
        signal,
      );
    },
    async has(reference, content, keyring, signal) {
      const request = await planContent(reference, content.descriptor.digest, keyring, signal);
      const alone = { ...request, route: atRegistry(request.route) };
      return await ask(alone, asked => exists(exchange, asked, content, signal), signal);
    },
    async referrers(reference, digest, artifactType, keyring, signal) {
      // Some registries have lists for known callers only.
      const { refused: _, ...request } = await planContent(reference, digest, keyring, signal);
      const list = async (asked: Asked) => {
        const found = await listReferrers(exchange, asked, digest, artifactType, signal);
        if (asked.upstream === request.route.last || (found ?? []).length > 0) return found;
        // Mirrors rarely have referrers: only the registry can report that there are none.
        throw new ArtifactError('not-found', `${asked.upstream.host} knows no referrers`);
      };
      return await ask(request, list, signal);
    },
    async silenceMs(reference, signal) {
      const { mirrors, last } = await route(reference, 'content', signal);
      return Math.max(...[...mirrors, last].map(({ responseMs = 0 }) => responseMs));
    },
    blob: openBlobFailover(blobs),
    part: async (...part) => (await import('./mirrors/part-failover.ts')).fetchPart(blobs, ...part),
    blobs: openBlobBatches(blobs, onRequest),
    pauses: () => [pauses.opened?.problems() ?? [], windows.problems(), handover?.problems() ?? []].flat(),
    async [Symbol.asyncDispose]() {
      handover?.[Symbol.dispose]();
      await downloads[Symbol.asyncDispose]();
      await pool[Symbol.asyncDispose]();
    },
  };
}
