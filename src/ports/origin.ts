/** Bounds how many nodes of a cluster take blobs from a registry at once. */
export type OriginGate = {
  /**
   * Begins to take blobs from the registry at a host, until it is disposed.
   *
   * @throws Paused while other nodes have its slots, until this one need not wait any longer; the signal's reason.
   */
  enter(host: string, signal: AbortSignal): Promise<Disposable>;
};

/**
 * Of how many registries this node has a slot, waits for one, or takes blobs without one: its patience has ended, or
 * the Kubernetes API cannot be asked.
 */
export type OriginCounts = { readonly held: number; readonly waiting: number; readonly without: number };
