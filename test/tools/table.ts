import { fileURLToPath } from 'node:url';

export type Program =
  | 'oras'
  | 'cosign'
  | 'registry'
  | 'grpcurl'
  | 'csi-sanity'
  | 'configread'
  | 'x509path'
  | 'apply-layers'
  | 'csitime'
  | 'helm'
  | 'helm4'
  | 'kubeconform'
  | 'kustomize-build'
  | 'rulecheck'
  | 'buildkitd'
  | 'buildctl'
  | 'qemu-aarch64-static'
  | 'qemu-system-aarch64'
  | 'qemu-system-x86_64'
  | 'cpio'
  | 'xz'
  | 'crun'
  | 'runc'
  | 'busybox'
  | 'setfattr'
  | 'mkfs.ext4'
  | 'debugfs'
  | 'mkfs.xfs'
  | 'fsck.erofs'
  | 'curl'
  | 'openssl'
  | 'umount'
  | 'strace'
  | 'nginx'
  | 'bash'
  | 'zsh'
  | 'fish'
  | 'groff'
  | 'kube-apiserver'
  | 'kube-controller-manager'
  | 'kube-scheduler'
  | 'kubectl'
  | 'kubelet'
  | 'etcd'
  | 'containerd'
  | 'containerd-shim-runc-v2'
  | 'ctr'
  | 'bridge'
  | 'host-local'
  | 'loopback'
  | 'runc-light'
  | 'newest-runc'
  | 'unshare'
  | 'nsenter'
  | 'ip'
  | 'chromium-headless-shell'
  | 'crane'
  | 'floor'
  | 'pace'
  | 'skopeo'
  | 'tar'
  | 'time'
  | 'zstd';

/**
 * What needs a program: npm test, npm run test:faults and test:scale, npm run test:release, test:cluster, test:arm64,
 * test:kernels, or npm run bench.
 */
export const toolGroups = ['test', 'release', 'cluster', 'arm64', 'kernels', 'bench'] as const;
export type ToolGroup = (typeof toolGroups)[number];

/** A directory of test/tools/go with a go.mod of its own: the versions of one must not move those of another. */
export type GoModule =
  | 'test'
  | 'chart'
  | 'monitoring'
  | 'image'
  | 'kubernetes'
  | 'etcd'
  | 'containerd'
  | 'runc'
  | 'bench';

/** How the programs of a module are built: the arguments and the environment of `go install`. */
type GoBuild = {
  readonly group: ToolGroup;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Packages of Debian with what a C compiler needs. */
  readonly libraries?: readonly string[];
};

const kubernetesVersion = '1.37.2';

/** What Kubernetes reports as its version; without it, a node is of version v0.0.0-master. */
const kubernetesVersionFlags = ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version'].flatMap(
  path => [
    `-X ${path}.gitVersion=v${kubernetesVersion}`,
    `-X ${path}.gitMajor=${kubernetesVersion.split('.')[0]}`,
    `-X ${path}.gitMinor=${kubernetesVersion.split('.')[1]}`,
  ],
);

const small = '-s -w';
const lean = { args: ['-trimpath', `-ldflags=${small}`], env: { CGO_ENABLED: '0' } };

export const goModules: Readonly<Record<GoModule, GoBuild>> = {
  // Without the tag the library of containers needs GnuPG's headers.
  test: { group: 'test', args: ['-tags=containers_image_openpgp'], env: {} },
  chart: { group: 'release', ...lean },
  monitoring: { group: 'release', ...lean },
  image: { group: 'release', ...lean },
  kubernetes: {
    group: 'cluster',
    ...lean,
    args: ['-trimpath', `-ldflags=${[small, ...kubernetesVersionFlags].join(' ')}`],
  },
  etcd: { group: 'cluster', ...lean },
  containerd: { group: 'cluster', ...lean },
  runc: {
    group: 'cluster',
    args: ['-trimpath', '-tags=seccomp', `-ldflags=${small}`],
    env: { CGO_ENABLED: '1' },
    libraries: ['gcc', 'libc6-dev', 'libseccomp-dev', 'pkg-config'],
  },
  bench: { group: 'bench', ...lean },
};

/** Where a program comes from: a Go package that is a tool of a module's go.mod, or a package of Debian and its kin. */
type ProgramSource =
  | { readonly from: 'go'; readonly module: GoModule; readonly package: string }
  | { readonly from: 'debian'; readonly group: ToolGroup; readonly package: string };

const fromGo = (module: GoModule, path: string): ProgramSource => ({ from: 'go', module, package: path });
const fromDebian = (group: ToolGroup, name: string): ProgramSource => ({
  from: 'debian',
  group,
  package: name,
});

/**
 * The programs that tests need beside Node. Those `from: 'go'` are built from source into .tools/bin at the versions
 * and checksums of their module's go.mod and go.sum.
 */
export const programs: Readonly<Record<Program, ProgramSource>> = {
  oras: fromGo('test', 'oras.land/oras/cmd/oras'),
  cosign: fromGo('test', 'github.com/sigstore/cosign/v3/cmd/cosign'),
  registry: fromGo('test', 'github.com/distribution/distribution/v3/cmd/registry'),
  grpcurl: fromGo('test', 'github.com/fullstorydev/grpcurl/cmd/grpcurl'),
  'csi-sanity': fromGo('test', 'github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity'),
  configread: fromGo('test', 'oci-artifact-csi.test/tools/configread'),
  x509path: fromGo('test', 'oci-artifact-csi.test/tools/x509path'),
  'apply-layers': fromGo('test', 'oci-artifact-csi.test/tools/apply-layers'),
  csitime: fromGo('test', 'oci-artifact-csi.test/tools/csitime'),
  helm: fromGo('chart', 'helm.sh/helm/v3/cmd/helm'),
  helm4: fromGo('chart', 'oci-artifact-csi.test/tools/chart/helm4'),
  kubeconform: fromGo('chart', 'github.com/yannh/kubeconform/cmd/kubeconform'),
  'kustomize-build': fromGo('chart', 'oci-artifact-csi.test/tools/chart/kustomize-build'),
  rulecheck: fromGo('monitoring', 'oci-artifact-csi.test/tools/monitoring/rulecheck'),
  buildkitd: fromGo('image', 'github.com/moby/buildkit/cmd/buildkitd'),
  buildctl: fromGo('image', 'github.com/moby/buildkit/cmd/buildctl'),
  'qemu-aarch64-static': fromDebian('release', 'qemu-user-static'),
  'qemu-system-aarch64': fromDebian('arm64', 'qemu-system-arm'),
  'qemu-system-x86_64': fromDebian('kernels', 'qemu-system-x86'),
  cpio: fromDebian('test', 'cpio'),
  xz: fromDebian('test', 'xz-utils'),
  crun: fromDebian('test', 'crun'),
  runc: fromDebian('test', 'runc'),
  busybox: fromDebian('test', 'busybox-static'),
  setfattr: fromDebian('test', 'attr'),
  'mkfs.ext4': fromDebian('test', 'e2fsprogs'),
  debugfs: fromDebian('test', 'e2fsprogs'),
  'mkfs.xfs': fromDebian('test', 'xfsprogs'),
  'fsck.erofs': fromDebian('test', 'erofs-utils'),
  curl: fromDebian('test', 'curl'),
  openssl: fromDebian('test', 'openssl'),
  umount: fromDebian('test', 'mount'),
  strace: fromDebian('test', 'strace'),
  nginx: fromDebian('test', 'nginx'),
  unshare: fromDebian('test', 'util-linux'),
  nsenter: fromDebian('test', 'util-linux'),
  ip: fromDebian('test', 'iproute2'),
  bash: fromDebian('test', 'bash'),
  zsh: fromDebian('test', 'zsh'),
  fish: fromDebian('test', 'fish'),
  groff: fromDebian('test', 'groff-base'),
  'chromium-headless-shell': fromDebian('release', 'chromium-headless-shell'),
  'kube-apiserver': fromGo('kubernetes', 'k8s.io/kubernetes/cmd/kube-apiserver'),
  'kube-controller-manager': fromGo('kubernetes', 'k8s.io/kubernetes/cmd/kube-controller-manager'),
  'kube-scheduler': fromGo('kubernetes', 'k8s.io/kubernetes/cmd/kube-scheduler'),
  kubectl: fromGo('kubernetes', 'k8s.io/kubernetes/cmd/kubectl'),
  kubelet: fromGo('kubernetes', 'k8s.io/kubernetes/cmd/kubelet'),
  etcd: fromGo('etcd', 'oci-artifact-csi.test/tools/etcd/etcd'),
  containerd: fromGo('containerd', 'github.com/containerd/containerd/v2/cmd/containerd'),
  'containerd-shim-runc-v2': fromGo(
    'containerd',
    'github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2',
  ),
  ctr: fromGo('containerd', 'github.com/containerd/containerd/v2/cmd/ctr'),
  bridge: fromGo('containerd', 'github.com/containernetworking/plugins/plugins/main/bridge'),
  'host-local': fromGo('containerd', 'github.com/containernetworking/plugins/plugins/ipam/host-local'),
  loopback: fromGo('containerd', 'github.com/containernetworking/plugins/plugins/main/loopback'),
  'runc-light': fromGo('containerd', 'oci-artifact-csi.test/tools/containerd/runc-light'),
  // The other runc is that of Debian, of another age.
  'newest-runc': fromGo('runc', 'github.com/opencontainers/runc'),
  crane: fromGo('bench', 'github.com/google/go-containerregistry/cmd/crane'),
  floor: fromGo('bench', 'oci-artifact-csi.test/tools/bench/floor'),
  pace: fromGo('bench', 'oci-artifact-csi.test/tools/bench/pace'),
  skopeo: fromDebian('bench', 'skopeo'),
  tar: fromDebian('bench', 'tar'),
  time: fromDebian('bench', 'time'),
  zstd: fromDebian('bench', 'zstd'),
};

const programNames: readonly Program[] = Object.keys(programs) as Program[];

/** The programs that the tests of a group need. */
export function programsOf(group: ToolGroup): readonly Program[] {
  return programNames.filter(name => groupOf(name) === group);
}

/** The group of tests that a program is for. */
export function groupOf(program: Program): ToolGroup {
  const source = programs[program];
  return source.from === 'go' ? goModules[source.module].group : source.group;
}

/** Where the programs built from source lie. */
export const toolsDirectory: string = fileURLToPath(new URL('../../.tools/bin', import.meta.url));
