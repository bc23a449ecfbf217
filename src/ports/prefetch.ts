import type { Digest } from '../oci/digest.ts';
import type { Labels } from './kube.ts';
import type { PullRequest } from './request.ts';

/** Parses the attributes of a volume. @throws ArtifactError `invalid`. */
export type ParseAttributes = (
  attributes: Readonly<Record<string, string>>,
) => PrefetchEntry['artifact'] & { readonly pullPolicy?: string };

/** An artifact that a node has before any pod asks for it. */
export type PrefetchEntry = {
  readonly artifact: Pick<PullRequest, 'reference' | 'platform' | 'selection'>;
  /** Garbage collection leaves it in the cache while it is listed. */
  readonly keep: boolean;
  /** How often its tag is resolved again, in milliseconds; undefined for a digest. */
  readonly intervalMs: number | undefined;
  /** The labels of the nodes that want it. Empty: all nodes. */
  readonly nodeSelector: Labels;
  /** Set for an entry of a custom resource, which has selected this node. */
  readonly resource?: PrefetchOwner;
};

/** What a custom resource says about its entries. */
export type PrefetchOwner = {
  readonly uid: string;
  /** Increases with each change of its fields. */
  readonly generation: number;
  /** Set for a resource that a namespace owns: it gets what a pod of that namespace would get. */
  readonly namespace?: string;
  /** Entries with a higher one come first. Others have 0. */
  readonly priority: number;
  /** Milliseconds since 1970. What is not ready then is not pulled any more. */
  readonly deadlineAt?: number;
  /** The credentials for its artifacts. @throws why they cannot be read. */
  secrets(signal: AbortSignal): Promise<Readonly<Record<string, string>>>;
  /** The node's turn to pull, until it is disposed. Undefined while too many nodes have one; it is asked for again. */
  turn(): Disposable | undefined;
};

/** What a node is to have before any pod asks. */
export type PrefetchList = {
  /** The present entries; undefined while they were never known. */
  entries(): readonly PrefetchEntry[] | undefined;
  /** Whether there may be more entries, so that none counts as removed. */
  isPartial?(): boolean;
};

/** An entry and how far it is. The bytes are those of a pull in progress. */
export type PrefetchRow = {
  readonly entry: PrefetchEntry;
  readonly status: PrefetchStatus;
  readonly bytes: number;
  readonly totalBytes: number;
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
  /** Why it failed last, or what it waits for. It names the reference. */
  readonly problem?: string;
  /** When it is resolved next, in milliseconds since 1970; undefined for a digest that is ready. */
  readonly nextAt?: number;
};
