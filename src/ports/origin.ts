import type { Endpoint } from '../oci/endpoint.ts';

/** A repository of a registry, at the registry's own host. */
export type OriginRepository = Pick<Endpoint, 'host' | 'path'>;

/** Bounds how many nodes of a cluster take blobs from a registry at once. */
export type OriginGate = {
  /**
   * Begins to take blobs of a repository from its registry, until it is disposed.
   *
   * @throws Paused while other nodes have its slots, until this one need not wait any longer; the signal's reason.
   */
  enter(repository: OriginRepository, signal: AbortSignal): Promise<Disposable>;
  /** Bytes of it have just come from a mirror: while they come, it does not count as waiting. */
  came(repository: OriginRepository): void;
};

/**
 * Of how many registries this node has a slot, waits for one, or takes blobs without one: its patience has ended, or
 * the Kubernetes API cannot be asked.
 */
export type OriginCounts = { readonly held: number; readonly waiting: number; readonly without: number };
