import { abortable } from '../util/abortable.ts';
import { ArtifactError } from '../util/error.ts';
import { parseJson } from '../util/json.ts';
import { loadKubeConfig } from './cluster.ts';

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

type Kube = typeof import('./client.ts');
/** The parameters of its calls beside the object. */
type Options = NonNullable<Parameters<InstanceType<Kube['CoreV1Api']>['readNamespacedPod']>[1]>;

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

const limitMs = 10_000;

/**
 * Opens the API of KUBECONFIG if that is set, else of the daemon's cluster, with its pod's service account. It loads the
 * client library, which takes a third of a second and 45 MiB.
 *
 * @throws ArtifactError `invalid` if there is neither.
 */
export async function openKubeApi(): Promise<KubeApi> {
  const config = await loadKubeConfig('--pod-pull-secrets');
  const kube = await import('./client.ts');
  const core = config.makeApiClient(kube.CoreV1Api);
  const server = config.getCurrentCluster()?.server ?? '';

  const toOptions = (signal: AbortSignal): Options => ({
    middleware: [
      {
        pre(request) {
          request.setSignal(signal);
          return new kube.Observable(Promise.resolve(request));
        },
        post: response => new kube.Observable(Promise.resolve(response)),
      },
    ],
    middlewareMergeStrategy: 'append',
  });

  const read =
    <T>(
      resource: string,
      ask: (object: { namespace: string; name: string }, options: Options) => Promise<T>,
    ): Read<T> =>
    async (namespace, name, signal) => {
      signal.throwIfAborted();
      try {
        const limited = AbortSignal.any([signal, AbortSignal.timeout(limitMs)]);
        // The client library does not pass the signal to all that it waits for.
        return await abortable(ask({ namespace, name }, toOptions(limited)), limited);
      } catch (thrown) {
        signal.throwIfAborted();
        if (!(thrown instanceof kube.ApiException)) throw toOutage(thrown, server);
        if (thrown.code === 404) return undefined;
        throw toRefusal(thrown.code, messageOf(thrown.body), resource, namespace, server);
      }
    };

  const namespace = read('namespaces', ({ name }, options) => core.readNamespace({ name }, options));
  const node = read('nodes', ({ name }, options) => core.readNode({ name }, options));
  return {
    node: (name, signal) => node('', name, signal),
    namespace: (name, signal) => namespace(name, name, signal),
    pod: read('pods', (object, options) => core.readNamespacedPod(object, options)),
    serviceAccount: read('serviceaccounts', (object, options) =>
      core.readNamespacedServiceAccount(object, options),
    ),
    secret: read('secrets', (object, options) => core.readNamespacedSecret(object, options)),
  };
}

function toOutage(thrown: unknown, server: string): ArtifactError {
  const cause = thrown instanceof Error && thrown.cause instanceof Error ? thrown.cause : thrown;
  const why = cause instanceof Error ? cause.message : String(cause);
  return new ArtifactError('unavailable', `the Kubernetes API at ${server} cannot be asked: ${why}`, thrown);
}

function toRefusal(
  code: number,
  message: string,
  resource: string,
  namespace: string,
  server: string,
): ArtifactError {
  const answer = `the Kubernetes API at ${server} answered ${code}${message === '' ? '' : ` (${message})`}`;
  switch (code) {
    case 401:
      return new ArtifactError(
        'denied',
        `${answer}: it does not know this daemon; check its service account, or KUBECONFIG`,
      );
    case 403:
      return new ArtifactError(
        'denied',
        `this daemon may not get ${resource}${namespace === '' ? '' : ` in the namespace ${namespace}`}; bind its service account to a ClusterRole with the rule {apiGroups: [""], resources: [${resource}], verbs: [get]}: ${answer}`,
      );
    default:
      return new ArtifactError('unavailable', answer);
  }
}

/** The message of a Status, which names user, verb and object. */
function messageOf(body: unknown): string {
  try {
    const { message } = (typeof body === 'string' ? parseJson(body) : body) as { message?: unknown };
    return typeof message === 'string' ? message.slice(0, 256) : '';
  } catch {
    return '';
  }
}
