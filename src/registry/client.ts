import { setTimeout } from 'node:timers/promises';
import type { Credential, Keyring } from '../oci/credential.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { Reference, Repository } from '../oci/reference.ts';
import { type Sink, transfer } from './blob.ts';
import { openBulk } from './bulk.ts';
import { openExchange } from './exchange.ts';
import { type Asked, fetchManifest, resolve } from './manifest.ts';
import { cancelled } from './outage.ts';
import { type Clock, type OnRetry, openPatience, retry } from './patience.ts';
import { openPool } from './pool.ts';
import { noProxies, type Proxies } from './proxies.ts';
import { type Content, isPresent } from './presence.ts';
import { listReferrers } from './referrers.ts';
import type { Route } from './route.ts';
import { openTls } from './tls.ts';

export type RegistryOptions = {
  /** Where a repository is asked for. What it throws is thrown on. */
  readonly route: (reference: Reference, question: 'name' | 'content') => Route;
  /** PEM certificates to trust beside the system's. */
  readonly caFile?: string;
  /** None unless told. */
  readonly proxies?: Proxies;
  readonly onRetry?: OnRetry;
  /** Milliseconds that a server may send nothing; 30 s unless told. */
  readonly stallMs?: number;
  readonly clock?: Clock;
};

export type RegistryClient = AsyncDisposable & {
  resolve(
    reference: Reference,
    keyring: Keyring,
    signal: AbortSignal,
  ): Promise<{ readonly descriptor: Descriptor; readonly credential: Credential }>;
  manifest(
    repository: Repository,
    descriptor: Descriptor,
    keyring: Keyring,
    signal: AbortSignal,
  ): Promise<Uint8Array>;
  has(repository: Repository, content: Content, keyring: Keyring, signal: AbortSignal): Promise<boolean>;
  referrers(
    repository: Repository,
    digest: Digest,
    keyring: Keyring,
    signal: AbortSignal,
  ): Promise<readonly Descriptor[] | undefined>;
  blob(
    repository: Repository,
    descriptor: Descriptor,
    sink: Sink,
    keyring: Keyring,
    signal: AbortSignal,
  ): Promise<void>;
};

const clockOfNode: Clock = {
  now: Date.now,
  random: Math.random,
  sleep: (ms, signal) =>
    setTimeout(ms, undefined, { signal }).catch(() => {
      throw cancelled(signal);
    }),
};

/**
 * A client of the OCI distribution API for all registries. Disposing it ends its connections.
 *
 * @throws ArtifactError `invalid` if `caFile` is no file of certificates.
 */
export function openRegistry(options: RegistryOptions): RegistryClient {
  const { route, proxies = noProxies, onRetry = () => {}, stallMs = 30_000, clock = clockOfNode } = options;
  const tls = openTls(options.caFile);
  const pool = openPool(tls, proxies, stallMs);
  const bulk = openBulk(tls, stallMs, pool.send);
  const exchange = openExchange((request, accept, signal) => {
    // What comes by a proxy has its speed, which the pool keeps up with.
    const straight = proxies.find(request.url) === undefined;
    return (request.bulk && straight ? bulk : pool.send)(request, accept, signal);
  }, clock);

  async function ask(
    repository: Repository,
    name: string,
    keyring: Keyring,
    signal: AbortSignal,
  ): Promise<Asked> {
    const places = route(repository, 'content');
    const place = places.at(-1) ?? places[0];
    return {
      place,
      credential: await keyring.find(place, signal),
      subject: `${repository.registry}/${repository.path}${name}`,
    };
  }

  return {
    async resolve(reference, keyring, signal) {
      const name = reference.digest ?? reference.tag ?? 'latest';
      const suffix = reference.digest === undefined ? `:${name}` : `@${name}`;
      const asked = await ask(reference, suffix, keyring, signal);
      const patience = openPatience(asked.subject, clock, onRetry);
      const descriptor = await retry(() => resolve(exchange, asked, name, signal), patience, signal);
      return { descriptor, credential: asked.credential };
    },
    async manifest(repository, descriptor, keyring, signal) {
      const asked = await ask(repository, `@${descriptor.digest}`, keyring, signal);
      const patience = openPatience(asked.subject, clock, onRetry);
      return await retry(() => fetchManifest(exchange, asked, descriptor, signal), patience, signal);
    },
    async has(repository, content, keyring, signal) {
      const asked = await ask(repository, `@${content.descriptor.digest}`, keyring, signal);
      const patience = openPatience(asked.subject, clock, onRetry);
      return await retry(() => isPresent(exchange, asked, content, signal), patience, signal);
    },
    async referrers(repository, digest, keyring, signal) {
      const asked = await ask(repository, `@${digest}`, keyring, signal);
      const patience = openPatience(asked.subject, clock, onRetry);
      return await retry(() => listReferrers(exchange, asked, digest, signal), patience, signal);
    },
    async blob(repository, descriptor, sink, keyring, signal) {
      const asked = await ask(repository, `@${descriptor.digest}`, keyring, signal);
      await transfer(exchange, { ...asked, descriptor, sink }, clock, onRetry, signal);
    },
    async [Symbol.asyncDispose]() {
      await pool[Symbol.asyncDispose]();
    },
  };
}
