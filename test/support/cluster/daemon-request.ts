import type { Cluster } from './cluster.ts';
import { driverNamespace } from './driver.ts';

/** A request of the Kubernetes API with a body. */
export type DaemonRequest = {
  readonly method: string;
  readonly path: string;
  readonly body: object;
  /** The media type of the body. */
  readonly type?: string;
};

/** Sends a request with a token of the driver's pod, as its daemon does; returns the answer. */
export async function askAsDaemon(
  cluster: Cluster,
  { method, path, body, type = 'application/json' }: DaemonRequest,
): Promise<string> {
  const pods = ['pod', '-n', driverNamespace, '-o=jsonpath={.items[0].metadata.name}'];
  const bound = ['--bound-object-kind=Pod', `--bound-object-name=${await cluster.kubectl('get', ...pods)}`];
  const account = ['token', 'oci-artifact-csi', '-n', driverNamespace];
  const token = await cluster.kubectl('create', ...account, ...bound);
  return cluster.run('curl', [
    '--silent',
    '--cacert',
    '/etc/kubernetes/ca.crt',
    '--request',
    method,
    '--header',
    `Authorization: Bearer ${token.trim()}`,
    '--header',
    `Content-Type: ${type}`,
    '--data',
    JSON.stringify(body),
    `https://10.96.0.1${path}`,
  ]);
}

export function nodeLease(name: string, holderIdentity: string, leaseDurationSeconds: number): object {
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name, namespace: driverNamespace },
    spec: { holderIdentity, leaseDurationSeconds },
  };
}

/** The path of the Leases in the driver's namespace. */
export const leases: string = `/apis/coordination.k8s.io/v1/namespaces/${driverNamespace}/leases`;
