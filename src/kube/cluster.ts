import { readFile } from 'node:fs/promises';
import type { OutgoingHttpHeaders } from 'node:http';
import type { RequestOptions } from 'node:https';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import process from 'node:process';
import { ArtifactError, errnoOf } from '../util/error.ts';

/** The API server of the cluster, and how the daemon proves to it who it is. */
export type Cluster = {
  /** `https://10.96.0.1:443` */
  readonly url: string;
  /** TLS options and headers of one request. They are read each time, because tokens and certificates are replaced. */
  credentials(): Promise<ApiCredentials>;
};

export type ApiCredentials = Omit<RequestOptions, 'headers'> & { readonly headers: OutgoingHttpHeaders };

type KubeConfig = InstanceType<typeof import('./client.ts')['KubeConfig']>;

/** Where kubelet mounts the service account of a pod. */
const accountDirectory = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * Finds the API of KUBECONFIG if that is set, else of the daemon's cluster, with its pod's service account. Only a
 * KUBECONFIG needs the client library, which takes 45 MiB.
 *
 * @param flag which needs it, for errors.
 *
 * @throws ArtifactError `invalid` if there is neither.
 */
export async function findCluster(flag: string, directory: string = accountDirectory): Promise<Cluster> {
  const { KUBECONFIG: file, KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
  if (!file && host) {
    return {
      url: `https://${isIPv6(host) ? `[${host}]` : host}:${port || '443'}`,
      async credentials() {
        const [ca, token] = await Promise.all(
          ['ca.crt', 'token'].map(name => readFile(join(directory, name), 'utf8')),
        );
        return { ca, headers: { authorization: `Bearer ${token?.trim()}` } };
      },
    };
  }
  const config = await loadKubeConfig(flag);
  return {
    url: config.getCurrentCluster()?.server ?? '',
    async credentials() {
      const options: RequestOptions = {};
      await config.applyToHTTPSOptions(options);
      return { ...options, headers: options.headers as OutgoingHttpHeaders };
    },
  };
}

/** The configuration of the client library. @throws as `findCluster`; it quotes nothing of the file. */
export async function loadKubeConfig(flag: string): Promise<KubeConfig> {
  const { KUBECONFIG: file, KUBERNETES_SERVICE_HOST: host } = process.env;
  if (!file && !host) {
    throw new ArtifactError(
      'invalid',
      `${flag} needs the Kubernetes API: run the daemon in a pod with a service account, or set KUBECONFIG`,
    );
  }
  const kube = await import('./client.ts');
  const config = new kube.KubeConfig();
  try {
    if (file) config.loadFromDefault();
    else config.loadFromCluster();
  } catch (thrown) {
    // Without a cause: the message of a parser may quote the token in the file.
    throw new ArtifactError(
      'invalid',
      `${flag}: KUBECONFIG ${file ?? ''} cannot be used (${errnoOf(thrown) ?? 'it is malformed'})`,
    );
  }
  if (config.getCurrentCluster() !== null) return config;
  throw new ArtifactError('invalid', `${flag}: KUBECONFIG ${file ?? ''} has no current context`);
}
