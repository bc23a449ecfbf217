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
  | 'buildkitd'
  | 'buildctl'
  | 'qemu-aarch64-static'
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
  | 'groff';

/** Which tests need a program: npm test and npm run test:faults, npm run test:release, or npm run test:cluster. */
export type ToolGroup = 'test' | 'release' | 'cluster';

/** A directory of test/tools/go with a go.mod of its own: the versions of one must not move those of another. */
export type GoModule = 'test' | 'chart' | 'image';

/** The arguments and the environment of `go install` for each module. */
export const goModules: Readonly<
  Record<
    GoModule,
    {
      readonly group: ToolGroup;
      readonly args: readonly string[];
      readonly env: Readonly<Record<string, string>>;
    }
  >
> = {
  // Without the tag the library of containers needs GnuPG's headers.
  test: { group: 'test', args: ['-tags=containers_image_openpgp'], env: {} },
  chart: { group: 'release', args: ['-trimpath', '-ldflags=-s -w'], env: { CGO_ENABLED: '0' } },
  image: { group: 'release', args: ['-trimpath', '-ldflags=-s -w'], env: { CGO_ENABLED: '0' } },
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
  buildkitd: { from: 'go', module: 'image', package: 'github.com/moby/buildkit/cmd/buildkitd' },
  buildctl: { from: 'go', module: 'image', package: 'github.com/moby/buildkit/cmd/buildctl' },
  'qemu-aarch64-static': { from: 'debian', group: 'release', package: 'qemu-user-static' },
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
