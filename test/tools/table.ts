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
  | 'helm'
  | 'helm4'
  | 'kubeconform'
  | 'kustomize-build'
  | 'rulecheck'
  | 'buildkitd'
  | 'buildctl'
  | 'qemu-aarch64-static'
  | 'qemu-system-aarch64'
  | 'cpio'
  | 'crun'
  | 'runc'
  | 'busybox'
  | 'setfattr'
  | 'mkfs.ext4'
  | 'curl'
  | 'openssl'
  | 'umount'
  | 'strace'
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
  | 'chromium-headless-shell';

/** Which tests need a program: npm test and npm run test:faults, npm run test:release, test:cluster, or test:arm64. */
export type ToolGroup = 'test' | 'release' | 'cluster' | 'arm64';

/** A directory of test/tools/go with a go.mod of its own: the versions of one must not move those of another. */
export type GoModule =
  | 'test'
  | 'chart'
  | 'monitoring'
  | 'image'
  | 'kubernetes'
  | 'etcd'
  | 'containerd'
  | 'runc';

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

export const goModules: Readonly<Record<GoModule, GoBuild>> = {
  // Without the tag the library of containers needs GnuPG's headers.
  test: { group: 'test', args: ['-tags=containers_image_openpgp'], env: {} },
  chart: { group: 'release', args: ['-trimpath', `-ldflags=${small}`], env: { CGO_ENABLED: '0' } },
  monitoring: { group: 'release', args: ['-trimpath', `-ldflags=${small}`], env: { CGO_ENABLED: '0' } },
  image: { group: 'release', args: ['-trimpath', `-ldflags=${small}`], env: { CGO_ENABLED: '0' } },
  kubernetes: {
    group: 'cluster',
    args: ['-trimpath', `-ldflags=${[small, ...kubernetesVersionFlags].join(' ')}`],
    env: { CGO_ENABLED: '0' },
  },
  etcd: { group: 'cluster', args: ['-trimpath', `-ldflags=${small}`], env: { CGO_ENABLED: '0' } },
  containerd: { group: 'cluster', args: ['-trimpath', `-ldflags=${small}`], env: { CGO_ENABLED: '0' } },
  runc: {
    group: 'cluster',
    args: ['-trimpath', '-tags=seccomp', `-ldflags=${small}`],
    env: { CGO_ENABLED: '1' },
    libraries: ['gcc', 'libc6-dev', 'libseccomp-dev', 'pkg-config'],
  },
};

/** Where a program comes from: a Go package that is a tool of a module's go.mod, or a package of Debian and its kin. */
type ProgramSource =
  | { readonly from: 'go'; readonly module: GoModule; readonly package: string }
  | { readonly from: 'debian'; readonly group: ToolGroup; readonly package: string };

/**
 * The programs that tests need beside Node. Those `from: 'go'` are built from source into .tools/bin at the versions
 * and checksums of their module's go.mod and go.sum.
 */
export const programs: Readonly<Record<Program, ProgramSource>> = {
  oras: { from: 'go', module: 'test', package: 'oras.land/oras/cmd/oras' },
  cosign: { from: 'go', module: 'test', package: 'github.com/sigstore/cosign/v3/cmd/cosign' },
  registry: { from: 'go', module: 'test', package: 'github.com/distribution/distribution/v3/cmd/registry' },
  grpcurl: { from: 'go', module: 'test', package: 'github.com/fullstorydev/grpcurl/cmd/grpcurl' },
  'csi-sanity': {
    from: 'go',
    module: 'test',
    package: 'github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity',
  },
  configread: { from: 'go', module: 'test', package: 'oci-artifact-csi.test/tools/configread' },
  x509path: { from: 'go', module: 'test', package: 'oci-artifact-csi.test/tools/x509path' },
  'apply-layers': { from: 'go', module: 'test', package: 'oci-artifact-csi.test/tools/apply-layers' },
  helm: { from: 'go', module: 'chart', package: 'helm.sh/helm/v3/cmd/helm' },
  helm4: { from: 'go', module: 'chart', package: 'oci-artifact-csi.test/tools/chart/helm4' },
  kubeconform: { from: 'go', module: 'chart', package: 'github.com/yannh/kubeconform/cmd/kubeconform' },
  'kustomize-build': {
    from: 'go',
    module: 'chart',
    package: 'oci-artifact-csi.test/tools/chart/kustomize-build',
  },
  rulecheck: {
    from: 'go',
    module: 'monitoring',
    package: 'oci-artifact-csi.test/tools/monitoring/rulecheck',
  },
  buildkitd: { from: 'go', module: 'image', package: 'github.com/moby/buildkit/cmd/buildkitd' },
  buildctl: { from: 'go', module: 'image', package: 'github.com/moby/buildkit/cmd/buildctl' },
  'qemu-aarch64-static': { from: 'debian', group: 'release', package: 'qemu-user-static' },
  'qemu-system-aarch64': { from: 'debian', group: 'arm64', package: 'qemu-system-arm' },
  cpio: { from: 'debian', group: 'arm64', package: 'cpio' },
  crun: { from: 'debian', group: 'test', package: 'crun' },
  runc: { from: 'debian', group: 'test', package: 'runc' },
  busybox: { from: 'debian', group: 'test', package: 'busybox-static' },
  setfattr: { from: 'debian', group: 'test', package: 'attr' },
  'mkfs.ext4': { from: 'debian', group: 'test', package: 'e2fsprogs' },
  curl: { from: 'debian', group: 'test', package: 'curl' },
  openssl: { from: 'debian', group: 'test', package: 'openssl' },
  umount: { from: 'debian', group: 'test', package: 'mount' },
  strace: { from: 'debian', group: 'test', package: 'strace' },
  bash: { from: 'debian', group: 'test', package: 'bash' },
  zsh: { from: 'debian', group: 'test', package: 'zsh' },
  fish: { from: 'debian', group: 'test', package: 'fish' },
  groff: { from: 'debian', group: 'test', package: 'groff-base' },
  'chromium-headless-shell': {
    from: 'debian',
    group: 'release',
    package: 'chromium-headless-shell',
  },
  'kube-apiserver': { from: 'go', module: 'kubernetes', package: 'k8s.io/kubernetes/cmd/kube-apiserver' },
  'kube-controller-manager': {
    from: 'go',
    module: 'kubernetes',
    package: 'k8s.io/kubernetes/cmd/kube-controller-manager',
  },
  'kube-scheduler': { from: 'go', module: 'kubernetes', package: 'k8s.io/kubernetes/cmd/kube-scheduler' },
  kubectl: { from: 'go', module: 'kubernetes', package: 'k8s.io/kubernetes/cmd/kubectl' },
  kubelet: { from: 'go', module: 'kubernetes', package: 'k8s.io/kubernetes/cmd/kubelet' },
  etcd: { from: 'go', module: 'etcd', package: 'oci-artifact-csi.test/tools/etcd/etcd' },
  containerd: {
    from: 'go',
    module: 'containerd',
    package: 'github.com/containerd/containerd/v2/cmd/containerd',
  },
  'containerd-shim-runc-v2': {
    from: 'go',
    module: 'containerd',
    package: 'github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2',
  },
  ctr: { from: 'go', module: 'containerd', package: 'github.com/containerd/containerd/v2/cmd/ctr' },
  bridge: {
    from: 'go',
    module: 'containerd',
    package: 'github.com/containernetworking/plugins/plugins/main/bridge',
  },
  'host-local': {
    from: 'go',
    module: 'containerd',
    package: 'github.com/containernetworking/plugins/plugins/ipam/host-local',
  },
  loopback: {
    from: 'go',
    module: 'containerd',
    package: 'github.com/containernetworking/plugins/plugins/main/loopback',
  },
  'runc-light': {
    from: 'go',
    module: 'containerd',
    package: 'oci-artifact-csi.test/tools/containerd/runc-light',
  },
  // The other runc is that of Debian, of another age.
  'newest-runc': { from: 'go', module: 'runc', package: 'github.com/opencontainers/runc' },
  unshare: { from: 'debian', group: 'cluster', package: 'util-linux' },
  nsenter: { from: 'debian', group: 'cluster', package: 'util-linux' },
  ip: { from: 'debian', group: 'cluster', package: 'iproute2' },
};

const programNames: readonly Program[] = Object.keys(programs) as Program[];

/** The programs that the tests of a group need. */
export function programsOf(group: ToolGroup): readonly Program[] {
  return programNames.filter(name => groupOf(programs[name]) === group);
}

function groupOf(source: ProgramSource): ToolGroup {
  return source.from === 'go' ? goModules[source.module].group : source.group;
}

/** Where the programs built from source lie. */
export const toolsDirectory: string = fileURLToPath(new URL('../../.tools/bin', import.meta.url));
