import type { Pod } from './request.ts';

/** The pods of the cluster. */
export type Pods = {
  /** The pod of that name now. @throws `not-found`; what the Kubernetes API answers; so below. */
  find(pod: Pick<Pod, 'namespace' | 'name'>, signal: AbortSignal): Promise<Pod>;
};

/** A secret of a pod's namespace; `data` is decoded, and undefined for one that does not exist. */
export type PullSecret = { readonly name: string; readonly data?: Readonly<Record<string, string>> };

/** What the Kubernetes API knows of a pod. */
export type PodSecrets = {
  /**
   * The secrets that `imagePullSecrets` names: the pod's, then those of its service account.
   *
   * @throws `not-found` for a pod that is gone; `denied` for one with another uid, which is another pod.
   */
  pullSecrets(pod: Pod, signal: AbortSignal): Promise<readonly PullSecret[]>;
  /** Annotations of its service account; none where there is none. */
  annotations(pod: Pod, signal: AbortSignal): Promise<Readonly<Record<string, string>>>;
};

/** Labels of a Kubernetes object. */
export type Labels = Readonly<Record<string, string>>;

export type Namespaces = {
  /** @throws `denied` where there is no such namespace; what the Kubernetes API answers. */
  labels(name: string, signal: AbortSignal): Promise<Labels>;
};
