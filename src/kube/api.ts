import { ArtifactError, toArtifactError } from '../util/error.ts';
import { askApi } from './api-request.ts';
import type { Cluster } from './cluster.ts';
import { longestAnswer, parseObjectJson } from './object-json.ts';
import { toRefusal } from './object-refusal.ts';

/** The parts of Kubernetes objects that are used. */
export type Metadata = {
  readonly uid?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
};
export type PodObject = {
  readonly metadata?: Metadata;
  readonly spec?: {
    readonly serviceAccountName?: string;
    readonly imagePullSecrets?: readonly { readonly name?: string }[];
  };
};
export type ServiceAccountObject = {
  readonly metadata?: Metadata;
  readonly imagePullSecrets?: readonly { readonly name?: string }[];
};
export type SecretObject = { readonly data?: Readonly<Record<string, string>> };
export type NamespaceObject = { readonly metadata?: Metadata };
export type NodeObject = { readonly metadata?: Metadata };

type Read<T> = (namespace: string, name: string, signal: AbortSignal) => Promise<T | undefined>;

/**
 * Reads objects of the Kubernetes API; undefined for those that do not exist. The daemon needs a ClusterRole with the
 * rule `{apiGroups: [""], resources: [pods, serviceaccounts, secrets], verbs: [get]}`, bound to its service account. It
 * can then read every secret whose name it knows, so this is off by default.
 *
 * @throws ArtifactError `denied` naming the missing RBAC rule; `unavailable` if the API does not answer in 10 s, or
 *   fails; the signal's reason.
 */
export type KubeApi = {
  readonly pod: Read<PodObject>;
  readonly serviceAccount: Read<ServiceAccountObject>;
  readonly secret: Read<SecretObject>;
  /** Needs `{apiGroups: [""], resources: [namespaces], verbs: [get]}`, and is used only for an access policy. */
  namespace(name: string, signal: AbortSignal): Promise<NamespaceObject | undefined>;
  /** Needs `{apiGroups: [""], resources: [nodes], verbs: [get]}`, and is used only for a list of --prefetch. */
  node(name: string, signal: AbortSignal): Promise<NodeObject | undefined>;
};

export function openKubeApi(cluster: Pick<Cluster, 'access'>): KubeApi {
  const read = async <T>(
    resource: string,
    namespace: string,
    name: string,
    signal: AbortSignal,
  ): Promise<T | undefined> => {
    const access = cluster.access();
    const within = namespace === '' ? [] : ['namespaces', namespace];
    const path = ['api', 'v1', ...within, resource, name];
    const answer = await askApi(access, { method: 'GET', path, most: longestAnswer }, signal);
    if (answer.code === 404) return undefined;
    if (answer.code !== 200) throw toRefusal(answer, 'get', path, access.url);
    try {
      return (await parseObjectJson(answer.text, signal)) as T;
    } catch (thrown) {
      signal.throwIfAborted();
      // Without a cause: the message of a parser may quote a secret.
      const why = `sent ${resource} that cannot be read (${toArtifactError(thrown).code})`;
      throw new ArtifactError('unavailable', `the Kubernetes API at ${access.url} ${why}`);
    }
  };

  return {
    node: (name, signal) => read('nodes', '', name, signal),
    namespace: (name, signal) => read('namespaces', '', name, signal),
    pod: (namespace, name, signal) => read('pods', namespace, name, signal),
    serviceAccount: (namespace, name, signal) => read('serviceaccounts', namespace, name, signal),
    secret: (namespace, name, signal) => read('secrets', namespace, name, signal),
  };
}
