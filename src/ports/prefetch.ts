import type { Digest } from '../oci/digest.ts';
import type { Labels } from './kube.ts';
import type { PullRequest } from './request.ts';

/** An artifact that a node has before any pod asks for it. */
export type PrefetchEntry = {
  readonly artifact: Pick<PullRequest, 'reference' | 'platform' | 'selection'>;
  /** Garbage collection leaves it in the cache while it is listed. */
  readonly keep: boolean;
  /** How often its tag is resolved again, in milliseconds; undefined for a digest. */
  readonly intervalMs: number | undefined;
  /** The labels of the nodes that want it. Empty: all nodes. */
  readonly nodeSelector: Labels;
};

/** The administrator's list. */
export type PrefetchList = {
  /** The present entries; undefined while the file was never right. */
  entries(): readonly PrefetchEntry[] | undefined;
};

/** The labels of this node. @throws errors of the Kubernetes API. */
export type NodeLabels = (signal: AbortSignal) => Promise<Labels>;

/**
 * What became of an entry: `waiting` for its turn, `pulling`, `ready`, `failed` (it is tried again), or `elsewhere`:
 * its selector does not match this node.
 */
export type PrefetchState = 'waiting' | 'pulling' | 'ready' | 'failed' | 'elsewhere';

/** An entry and its state, a row of `status`. */
export type PrefetchStatus = {
  /** As the list says. */
  readonly reference: string;
  readonly state: PrefetchState;
  /** What it resolved to when it was ready last. For an index, the digest of the index. */
  readonly digest?: Digest;
  /** Why it failed last. */
  readonly problem?: string;
  /** When it is resolved next, in milliseconds since 1970; undefined for a digest that is ready. */
  readonly nextAt?: number;
};
