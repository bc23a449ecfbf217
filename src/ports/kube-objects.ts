/** The names of a path of the Kubernetes API: `apis`, `coordination.k8s.io`, `v1`, … */
export type KubePath = readonly string[];

/** An object, and how long it is in JSON. */
export type KubeItem = { readonly object: unknown; readonly bytes: number };

/** A part of a list. `next`: where the next part begins; undefined after the last one. */
export type KubePage = {
  readonly items: readonly KubeItem[];
  readonly version: string;
  readonly next?: string;
};

/** A change of a watched list. `mark`: nothing has changed until this version; the first one says that the watch began. */
export type KubeChange = KubeItem & { readonly kind: 'put' | 'gone' | 'mark' };

/** The objects of a list that the API leaves out: those of these namespaces. */
type Without = { readonly without?: readonly string[] };

/**
 * Objects of the Kubernetes API. Each function is one request.
 *
 * @throws ArtifactError `denied` naming the missing RBAC rule; `not-found` for an object or a kind that does not exist;
 *   `invalid` for an object that the API refuses; `unavailable` if the API does not answer in 10 s, or fails; the
 *   signal's reason.
 */
export type KubeObjects = {
  /** Undefined if there is no such object. `brief`: its metadata only. */
  get(path: KubePath, signal: AbortSignal, brief?: 'brief'): Promise<unknown>;
  /** At most so many objects of a list. @throws `exhausted` if they are too long together. */
  page(
    path: KubePath,
    part: Without & { readonly limit: number; readonly next?: string | undefined },
    signal: AbortSignal,
  ): Promise<KubePage>;
  /**
   * Calls `onChange` for each change of a list since a version, for about so many seconds, or until it answers that no
   * more are wanted. The next change is read after that. False if that version is too old to continue from.
   */
  watch(
    path: KubePath,
    from: Without & { readonly version: string; readonly seconds: number },
    onChange: (change: KubeChange) => Promise<boolean>,
    signal: AbortSignal,
  ): Promise<boolean>;
  /** Answers the new object; undefined if there is one already. */
  create(path: KubePath, object: object, signal: AbortSignal): Promise<unknown>;
  /** Replaces the version that the object names, and answers the new one; undefined if that is not the present one. */
  replace(path: KubePath, object: object, signal: AbortSignal): Promise<unknown>;
  /** Creates or changes the fields of an object that this daemon sets (server-side apply). */
  apply(path: KubePath, object: object, signal: AbortSignal): Promise<void>;
  /** Applies a merge patch. */
  patch(path: KubePath, change: object, signal: AbortSignal): Promise<void>;
  /** Removes an object, if this is its present version. Succeeds if it is not. */
  remove(path: KubePath, version: string, signal: AbortSignal): Promise<void>;
};

/** What Leases need. */
export type LeaseObjects = Pick<KubeObjects, 'get' | 'create' | 'replace' | 'remove'>;

/**
 * A Lease of the Kubernetes API, which one node has at a time. A node that stops renewing it loses it when others have
 * seen it unchanged for its duration, by their own clocks.
 */
export type NodeLease = {
  /** Takes the lease if it is free, or renews it. Whether this node has it now. @throws as KubeObjects. */
  take(signal: AbortSignal): Promise<boolean>;
  /** Whether this node has it, as far as its own clock can say. */
  isHeld(): boolean;
  /** The node that had it when `take` looked last; empty if none had. */
  holder(): string;
  /**
   * Gives it to the next one, also if its duration has ended. Succeeds if another node has it. If it fails, it may be
   * called again. @throws as KubeObjects.
   */
  release(signal: AbortSignal): Promise<void>;
};

/** Opens the lease of a name among those of the driver, in the daemon's namespace. */
export type OpenLease = (name: string, seconds: number) => NodeLease;
