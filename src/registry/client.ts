import { setTimeout } from 'node:timers/promises';
import type { Credential } from '../oci/credential.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Endpoint } from '../oci/endpoint.ts';
import type { Reference, Repository } from '../oci/reference.ts';
import { type Sink, transfer } from './blob.ts';
import { openBulk } from './bulk.ts';
import { openExchange } from './exchange.ts';
import { type Asked, fetchManifest, resolve } from './manifest.ts';
import { cancelled } from './outage.ts';
import { type Clock, type OnRetry, openPatience, retry } from './patience.ts';
import { openPool } from './pool.ts';
import { openTls } from './tls.ts';

export type RegistryOptions = {
  /** Where a repository is on the wire. What it throws is thrown on. */
  readonly locate: (repository: Repository) => Endpoint;
  /** PEM certificates to trust beside the system's. */
  readonly caFile?: string;
  readonly onRetry?: OnRetry;
  /** Milliseconds that a server may send nothing; 30 s unless told. */
  readonly stallMs?: number;
  readonly clock?: Clock;
};

export type RegistryClient = AsyncDisposable & {
  resolve(reference: Reference, credential: Credential, signal: AbortSignal): Promise<Descriptor>;
  manifest(
    repository: Repository,
    descriptor: Descriptor,
    credential: Credential,
    signal: AbortSignal,
  ): Promise<Uint8Array>;
  blob(
    repository: Repository,
    descriptor: Descriptor,
    sink: Sink,
    credential: Credential,
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
  const { locate, onRetry = () => {}, stallMs = 30_000, clock = clockOfNode } = options;
  const tls = openTls(options.caFile);
  const pool = openPool(tls, stallMs);
  const bulk = openBulk(tls, stallMs, pool.send);
  const exchange = openExchange(
    (request, accept, signal) => (request.bulk ? bulk : pool.send)(request, accept, signal),
    clock,
  );

  function ask(repository: Repository, name: string, credential: Credential): Asked {
    return {
      endpoint: locate(repository),
      credential,
      subject: `${repository.registry}/${repository.path}${name}`,
    };
  }

  return {
    async resolve(reference, credential, signal) {
      const name = reference.digest ?? reference.tag ?? 'latest';
      const asked = ask(reference, reference.digest === undefined ? `:${name}` : `@${name}`, credential);
      return await retry(
        () => resolve(exchange, asked, name, signal),
        openPatience(asked.subject, clock, onRetry),
        signal,
      );
    },
    async manifest(repository, descriptor, credential, signal) {
      const asked = ask(repository, `@${descriptor.digest}`, credential);
      return await retry(
        () => fetchManifest(exchange, asked, descriptor, signal),
        openPatience(asked.subject, clock, onRetry),
        signal,
      );
    },
    async blob(repository, descriptor, sink, credential, signal) {
      const asked = ask(repository, `@${descriptor.digest}`, credential);
      await transfer(exchange, { ...asked, descriptor, sink }, clock, onRetry, signal);
    },
    async [Symbol.asyncDispose]() {
      await pool[Symbol.asyncDispose]();
    },
  };
}
