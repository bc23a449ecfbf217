import type { PodSecrets, Pods, PullSecret } from '../ports/kube.ts';
import type { Pod } from '../ports/request.ts';
import { ArtifactError } from '../util/error.ts';
import { createMemo } from '../util/memo.ts';
import type { KubeApi, PodObject, ServiceAccountObject } from './api.ts';

export type PodObjects = Pods & PodSecrets;

/** A static pod is in the API as its mirror pod, with another uid. This annotation has the uid of kubelet. */
const mirrorKey = 'kubernetes.io/config.mirror';

/** A pod, or its service account, could name thousands, which a node would ask for at once. */
const mostSecrets = 64;

/** Milliseconds: a pod's containers and volumes are started within seconds of each other. */
const ttlMs = 10_000;

/** Reads each pod and each service account at most once in 10 s. */
export function openPodObjects(api: Pick<KubeApi, 'pod' | 'serviceAccount' | 'secret'>): PodObjects {
  const secrets = createMemo<readonly PullSecret[]>();
  const accounts = createMemo<ServiceAccountObject>();

  const account = (namespace: string, name: string, signal: AbortSignal): Promise<ServiceAccountObject> =>
    accounts.recall(
      JSON.stringify([namespace, name]),
      async until => ({ value: (await api.serviceAccount(namespace, name, until)) ?? {}, forMs: ttlMs }),
      signal,
    );

  const read = async (pod: Pod, signal: AbortSignal): Promise<readonly PullSecret[]> => {
    const object = await api.pod(pod.namespace, pod.name, signal);
    verifyPod(pod, object);
    const { imagePullSecrets: own = [], serviceAccountName } = object?.spec ?? {};
    const { imagePullSecrets: inherited = [] } =
      serviceAccountName === undefined ? {} : await account(pod.namespace, serviceAccountName, signal);
    const names = new Set([...own, ...inherited].flatMap(({ name }) => (name ? [name] : [])));
    if (names.size > mostSecrets)
      throw new ArtifactError(
        'denied',
        `the pod ${pod.namespace}/${pod.name} and its service account name ${names.size} image pull secrets, and may name ${mostSecrets}; remove some`,
      );
    return Promise.all(
      [...names].map(async name => {
        const found = await api.secret(pod.namespace, name, signal);
        return found === undefined ? { name } : { name, data: decode(found.data ?? {}) };
      }),
    );
  };

  return {
    async find({ namespace, name }, signal) {
      const object = await api.pod(namespace, name, signal);
      const uid = object?.metadata?.annotations?.[mirrorKey] ?? object?.metadata?.uid;
      const serviceAccount = object?.spec?.serviceAccountName;
      if (uid !== undefined) return { namespace, name, uid, ...(serviceAccount ? { serviceAccount } : {}) };
      throw new ArtifactError(
        'not-found',
        `the Kubernetes API has no pod ${namespace}/${name}; check its namespace and name, and that it was not deleted`,
      );
    },
    pullSecrets: (pod, signal) =>
      secrets.recall(pod.uid, async until => ({ value: await read(pod, until), forMs: ttlMs }), signal),
    async annotations({ namespace, serviceAccount }, signal) {
      if (serviceAccount === undefined) return {};
      return (await account(namespace, serviceAccount, signal)).metadata?.annotations ?? {};
    },
  };
}

/** A later pod may have the same name. The uid, which comes from kubelet, is unique. */
function verifyPod({ namespace, name, uid }: Pod, object: PodObject | undefined): void {
  const subject = `the pull secrets of the pod ${namespace}/${name} cannot be read`;
  if (object === undefined) {
    throw new ArtifactError('denied', `${subject}: the Kubernetes API has no such pod any more`);
  }
  const { metadata } = object;
  if (metadata?.uid === uid || metadata?.annotations?.[mirrorKey] === uid) return;
  throw new ArtifactError(
    'denied',
    `${subject}: the volume is of the pod with uid ${uid}, and the Kubernetes API has another pod of that name`,
  );
}

function decode(data: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]),
  );
}
