import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { toolsDirectory } from '../../tools/table.ts';
import { toolPath } from '../project/tools.ts';
import type { Machine, Service } from './machine.ts';
import { nodeAddress, nodeName } from './root.ts';

const directory = '/etc/kubernetes';
const etcd = 'http://127.0.0.1:2379';
/** kubelet asks drivers for the health of volumes, and the API server takes the answer. */
const featureGates = { CSIVolumeHealth: true } as const;

/** The programs of a control plane. */
const apiServer = {
  'etcd-servers': etcd,
  'secure-port': '443',
  'bind-address': '0.0.0.0',
  'advertise-address': nodeAddress,
  'service-cluster-ip-range': '10.96.0.0/16',
  'authorization-mode': 'Node,RBAC',
  'enable-admission-plugins': 'NodeRestriction',
  'allow-privileged': 'true',
  'feature-gates': Object.keys(featureGates)
    .map(name => `${name}=true`)
    .join(','),
  'client-ca-file': `${directory}/ca.crt`,
  'tls-cert-file': `${directory}/apiserver.crt`,
  'tls-private-key-file': `${directory}/apiserver.key`,
  'kubelet-client-certificate': `${directory}/admin.crt`,
  'kubelet-client-key': `${directory}/admin.key`,
  'kubelet-certificate-authority': `${directory}/ca.crt`,
  'service-account-issuer': 'https://kubernetes.default.svc',
  'service-account-key-file': `${directory}/service-accounts.pub`,
  'service-account-signing-key-file': `${directory}/service-accounts.key`,
};

const controllerManager = {
  kubeconfig: `${directory}/controller-manager.kubeconfig`,
  'service-account-private-key-file': `${directory}/service-accounts.key`,
  'root-ca-file': `${directory}/ca.crt`,
  'use-service-account-credentials': 'true',
  'leader-elect': 'false',
};

const scheduler = { kubeconfig: `${directory}/scheduler.kubeconfig`, 'leader-elect': 'false' };

const etcdFlags = {
  'data-dir': '/var/lib/etcd',
  'listen-client-urls': etcd,
  'advertise-client-urls': etcd,
  'listen-peer-urls': 'http://127.0.0.1:2380',
  'unsafe-no-fsync': 'true',
  'log-level': 'warn',
};

const kubeletFlags = {
  config: `${directory}/kubelet.json`,
  kubeconfig: `${directory}/kubelet.kubeconfig`,
  'hostname-override': nodeName,
  'node-ip': nodeAddress,
  v: '2',
};

/** Kubelet's configuration. The machine has no cgroup controllers, and its root may not lower an OOM score. */
const kubeletConfiguration = {
  apiVersion: 'kubelet.config.k8s.io/v1beta1',
  kind: 'KubeletConfiguration',
  authentication: {
    anonymous: { enabled: false },
    webhook: { enabled: true },
    x509: { clientCAFile: `${directory}/ca.crt` },
  },
  authorization: { mode: 'Webhook' },
  tlsCertFile: `${directory}/kubelet.crt`,
  tlsPrivateKeyFile: `${directory}/kubelet.key`,
  containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
  cgroupDriver: 'cgroupfs',
  cgroupsPerQOS: false,
  enforceNodeAllocatable: [],
  oomScoreAdj: 0,
  failSwapOn: false,
  clusterDomain: 'cluster.local',
  resolvConf: '/etc/resolv.conf',
  evictionHard: { 'nodefs.available': '1%', 'imagefs.available': '1%' },
  evictionPressureTransitionPeriod: '1s',
  imageGCHighThresholdPercent: 100,
  maxPods: 200,
  serializeImagePulls: false,
  // Else an image that was imported is pulled again, once another image of its ID was pulled.
  imagePullCredentialsVerificationPolicy: 'NeverVerify',
  volumeStatsAggPeriod: '2s',
  featureGates,
  // ConfigMaps reach their pods in seconds.
  syncFrequency: '5s',
  configMapAndSecretChangeDetectionStrategy: 'Watch',
};

export const pauseImage = 'registry.k8s.io/pause:3.10.2';

function containerdConfiguration(): string {
  return `
version = 3
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = '${pauseImage}'
[plugins.'io.containerd.cri.v1.images'.registry]
  config_path = '/etc/containerd/certs.d'
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ['${toolsDirectory}']
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2'
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
    BinaryName = '${toolPath('runc-light')}'
    SystemdCgroup = false
`;
}

/** Pods have addresses of 10.88.0.0/16 on a bridge. */
const podNetwork = {
  cniVersion: '1.0.0',
  name: 'pods',
  plugins: [
    {
      type: 'bridge',
      bridge: 'cni0',
      isGateway: true,
      ipMasq: false,
      ipam: {
        type: 'host-local',
        ranges: [[{ subnet: '10.88.0.0/16' }]],
        routes: [{ dst: '0.0.0.0/0' }],
      },
    },
  ],
};

const toArgs = (flags: Readonly<Record<string, string>>): readonly string[] =>
  Object.entries(flags).map(([name, value]) => `--${name}=${value}`);

/** Writes the configuration of the programs below a root directory. `kubelet`: what differs for one test. */
export async function writeConfiguration(root: string, kubelet: object = {}): Promise<void> {
  const files = {
    'etc/containerd/config.toml': containerdConfiguration(),
    'etc/containerd/certs.d/registry.test:5000/hosts.toml': 'server = "http://registry.test:5000"\n',
    'etc/cni/net.d/10-pods.conflist': JSON.stringify(podNetwork),
    'etc/kubernetes/kubelet.json': JSON.stringify({ ...kubeletConfiguration, ...kubelet }),
  };
  for (const [path, content] of Object.entries(files)) {
    await mkdir(join(root, path, '..'), { recursive: true });
    await writeFile(join(root, path), content);
  }
}

export function startKubelet(machine: Machine): Promise<Service> {
  return machine.start('kubelet', toolPath('kubelet'), toArgs(kubeletFlags));
}

/** Starts the control plane and the runtime; `images` are imported meanwhile, and kubelet starts last. */
export async function startServices(machine: Machine, images: readonly string[]): Promise<Service> {
  await machine.start('etcd', toolPath('etcd'), toArgs(etcdFlags));
  await machine.start('kube-apiserver', toolPath('kube-apiserver'), toArgs(apiServer));
  await machine.start('containerd', toolPath('containerd'), ['--config', '/etc/containerd/config.toml']);
  const imported = importImages(machine, images);
  const ready = untilItWorks(machine, 'kubectl', ['get', '--raw', '/readyz']);
  await Promise.all([imported, ready]);
  await machine.start(
    'kube-controller-manager',
    toolPath('kube-controller-manager'),
    toArgs(controllerManager),
  );
  await machine.start('kube-scheduler', toolPath('kube-scheduler'), toArgs(scheduler));
  const kubelet = await startKubelet(machine);
  await untilItWorks(machine, 'kubectl', ['get', 'node', nodeName]);
  await machine.run('kubectl', ['wait', '--for=condition=Ready', `node/${nodeName}`, '--timeout=90s']);
  await untilItWorks(machine, 'kubectl', ['get', 'serviceaccount', 'default']);
  return kubelet;
}

async function importImages(machine: Machine, images: readonly string[]): Promise<void> {
  await untilItWorks(machine, 'ctr', ['version']);
  const ctr = async (...args: readonly string[]) =>
    await machine.run('ctr', ['--namespace=k8s.io', 'images', ...args]);
  for (const image of images) await ctr('import', image);
  // Else kubelet removes those that no pod uses when the disk is short, and no registry has them.
  for (const name of (await ctr('list', '--quiet')).trim().split('\n'))
    await ctr('label', name, 'io.cri-containerd.pinned=pinned');
}

async function untilItWorks(machine: Machine, program: string, args: readonly string[]): Promise<void> {
  for (const limit = performance.now() + 90_000; ; ) {
    try {
      await machine.run(program, args);
      return;
    } catch (error) {
      if (performance.now() > limit) throw error;
      await sleep(200);
    }
  }
}
