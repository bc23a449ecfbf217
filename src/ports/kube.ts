import type { Pod } from './request.ts';

/** The pods of the cluster. */
export type Pods = {
  /** Finds a pod by name. @throws `not-found`, and errors of the Kubernetes API; the functions below do, too. */
  find(pod: Pick<Pod, 'namespace' | 'name'>, signal: AbortSignal): Promise<Pod>;
};

/** A secret in a pod's namespace. `data` is decoded; it is undefined if the secret does not exist. */
export type PullSecret = { readonly name: string; readonly data?: Readonly<Record<string, string>> };

/** The credentials that the Kubernetes API has for a pod. */
export type PodSecrets = {
  /**
   * The secrets of `imagePullSecrets`: first the pod's, then those of its service account.
   *
   * @throws `not-found` if the pod is gone; `denied` if its uid differs, because it is another pod then.
   */
  pullSecrets(pod: Pod, signal: AbortSignal): Promise<readonly PullSecret[]>;
  /** Annotations of the pod's service account; empty if there is none. */
  annotations(pod: Pod, signal: AbortSignal): Promise<Readonly<Record<string, string>>>;
};

/** Labels of a Kubernetes object. */
export type Labels = Readonly<Record<string, string>>;

export type Namespaces = {
  /** @throws `denied` if the namespace does not exist; errors of the Kubernetes API. */
  labels(name: string, signal: AbortSignal): Promise<Labels>;
};
