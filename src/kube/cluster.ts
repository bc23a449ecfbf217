import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import process from 'node:process';
import {
  type Note,
  type Part,
  problemsOf,
  type Reading,
  readNamed,
  readPart,
  valueOf,
  watchFiles,
} from '../configfile/watched-file.ts';
import { ArtifactError, toArtifactError } from '../util/error.ts';
import type { ApiCredentials, Kubeconfig } from './kubeconfig.ts';

/** The API server of the cluster, and how the daemon proves who it is. Disposing it ends a program that runs for that. */
export type Cluster = Disposable & {
  /** The present one: a KUBECONFIG may be replaced. */
  access(): ClusterAccess;
  /** The namespace of the daemon's pod, or that of the KUBECONFIG. */
  namespace(): string;
};

export type ClusterAccess = {
  /** `https://10.96.0.1:443` */
  readonly url: string;
  /** For one request, because tokens and certificates are replaced. */
  credentials(signal: AbortSignal): Promise<ApiCredentials>;
};

/** Where kubelet mounts the service account of a pod. */
const accountDirectory = '/var/run/secrets/kubernetes.io/serviceaccount';

/** Finds the cluster for the flags that need one; undefined if none does. @throws as `findCluster`. */
export async function openCluster(
  needs: {
    readonly events: boolean;
    readonly podPullSecrets: boolean;
    readonly prefetchResources: boolean;
    readonly nodeLabels?: unknown;
    readonly originSlots?: number;
  },
  note: Note,
): Promise<Cluster | undefined> {
  if (needs.podPullSecrets) return await findCluster('--pod-pull-secrets', note);
  if (needs.nodeLabels === 'api') return await findCluster('--node-labels api', note);
  if (needs.originSlots) return await findCluster('--origin-slots', note);
  if (needs.prefetchResources) return await findCluster('--prefetch-resources', note);
  return needs.events ? await findCluster('--events', note) : undefined;
}

/**
 * Finds the API of KUBECONFIG if that is set, else of the daemon's cluster, with its pod's service account. A KUBECONFIG
 * is read again when it changes; while it is wrong, the last good one stays in use.
 *
 * @param flag which needs it, for errors.
 *
 * @throws ArtifactError `invalid` if there is neither, or the KUBECONFIG is wrong.
 */
export async function findCluster(
  flag: string,
  note: Note,
  directory: string = accountDirectory,
): Promise<Cluster> {
  const { KUBECONFIG: file, KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
  if (file) return await watchKubeconfig(flag, file, note);
  if (!host) {
    throw new ArtifactError(
      'invalid',
      `${flag} needs the Kubernetes API: run the daemon in a pod with a service account, or set KUBECONFIG`,
    );
  }
  const access: ClusterAccess = {
    url: `https://${isIPv6(host) ? `[${host}]` : host}:${port || '443'}`,
    async credentials() {
      const [ca, token = ''] = await Promise.all(
        ['ca.crt', 'token'].map(name => readFile(join(directory, name), 'utf8')),
      );
      return { ca, headers: { authorization: `Bearer ${token.trim()}` } };
    },
  };
  return {
    access: () => access,
    namespace: () => readFileSync(join(directory, 'namespace'), 'utf8').trim(),
    [Symbol.dispose]() {},
  };
}

async function watchKubeconfig(flag: string, file: string, note: Note): Promise<Cluster> {
  const { parseKubeconfig } = await import('./kubeconfig.ts'); // a third of a second, and 45 MiB
  const closing = new AbortController();
  const parse = (reading: Reading): Kubeconfig => {
    try {
      return parseKubeconfig(readNamed(file, reading), file);
    } catch (thrown) {
      const { message } = toArtifactError(thrown);
      throw new ArtifactError(
        'invalid',
        `${flag}: KUBECONFIG ${message.startsWith(file) ? '' : `${file}: `}${message}`,
      );
    }
  };
  const current = watchFiles<Part<Kubeconfig>>({
    what: `KUBECONFIG ${file}`,
    // At start the daemon ends.
    read: (reading, before) =>
      before === undefined
        ? { kind: 'right', value: parse(reading) }
        : readPart(() => parse(reading), before),
    problemsOf,
    note,
  });
  current();
  return {
    access() {
      const { url, credentials } = valueOf(current());
      return { url, credentials: signal => credentials(closing.signal, signal) };
    },
    namespace: () => valueOf(current()).namespace,
    [Symbol.dispose]: () => closing.abort(new ArtifactError('cancelled', 'the daemon stops')),
  };
}
