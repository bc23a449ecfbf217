/** The names of a path of the Kubernetes API: `apis`, `coordination.k8s.io`, `v1`, … */
export type KubePath = readonly string[];

/**
 * Objects of the Kubernetes API. Each function is one request.
 *
 * @throws ArtifactError `denied` naming the missing RBAC rule; `not-found` for an object or a kind that does not exist;
 *   `invalid` for an object that the API refuses; `unavailable` if the API does not answer in 10 s, or fails; the
 *   signal's reason.
 */
export type KubeObjects = {
  /** Undefined if there is no such object. */
  get(path: KubePath, signal: AbortSignal): Promise<unknown>;
  /** Answers the new object; undefined if there is one already. */
  create(path: KubePath, object: object, signal: AbortSignal): Promise<unknown>;
  /** Replaces the version that the object names, and answers the new one; undefined if that is not the present one. */
  replace(path: KubePath, object: object, signal: AbortSignal): Promise<unknown>;
  /** Removes an object, if this is its present version. Succeeds if it is not. */
  remove(path: KubePath, version: string, signal: AbortSignal): Promise<void>;
};

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
  /** Gives it to the next one. Succeeds if it is lost. @throws as KubeObjects. */
  release(signal: AbortSignal): Promise<void>;
};

/** Opens the lease of a name in the daemon's namespace. */
export type OpenLease = (name: string, seconds: number) => NodeLease;
