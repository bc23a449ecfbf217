import { after, before } from 'node:test';
import { needs } from '../project/tools.ts';
import { type Cluster, openCluster } from './cluster.ts';

/** Options of a suite of tests that need a cluster. */
export const clusterNeeds: { skip: string | false } = needs(
  'root',
  'openssl',
  'curl',
  'busybox',
  'bash',
  'unshare',
  'nsenter',
  'ip',
  'registry',
  'oras',
  'grpcurl',
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kubelet',
  'kubectl',
  'containerd',
  'containerd-shim-runc-v2',
  'ctr',
  'runc-light',
  'newest-runc',
  'bridge',
  'host-local',
  'loopback',
  'helm',
  'buildkitd',
  'buildctl',
  'runc',
);

/**
 * For one suite: a cluster that its tests share, and what `prepare` does to it first. The power is cut when they are
 * through, with all pods in place.
 */
export function shareCluster(prepare: (cluster: Cluster) => Promise<void>): Cluster {
  const shared: { cluster?: Cluster } = {};
  before(async () => {
    shared.cluster = await openCluster();
    await prepare(shared.cluster);
  });
  after(async () => {
    await shared.cluster?.[Symbol.asyncDispose]();
  });
  return new Proxy({} as Cluster, {
    get: (_, name) => Reflect.get(shared.cluster ?? {}, name) as unknown,
  });
}
