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

/**
 * The programs that tests need beside Node. Those `from: 'go'` are built from source into .tools/bin at the versions
 * and checksums of go.mod and go.sum in this folder; the others are packages of Debian and its kin.
 */
export const programs: Readonly<
  Record<Program, { readonly from: 'go' | 'debian'; readonly package: string }>
> = {
  oras: { from: 'go', package: 'oras.land/oras/cmd/oras' },
  cosign: { from: 'go', package: 'github.com/sigstore/cosign/v3/cmd/cosign' },
  registry: { from: 'go', package: 'github.com/distribution/distribution/v3/cmd/registry' },
  grpcurl: { from: 'go', package: 'github.com/fullstorydev/grpcurl/cmd/grpcurl' },
  'csi-sanity': { from: 'go', package: 'github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity' },
  configread: { from: 'go', package: 'oci-artifact-csi.test/tools/configread' },
  x509path: { from: 'go', package: 'oci-artifact-csi.test/tools/x509path' },
  'apply-layers': { from: 'go', package: 'oci-artifact-csi.test/tools/apply-layers' },
  crun: { from: 'debian', package: 'crun' },
  runc: { from: 'debian', package: 'runc' },
  busybox: { from: 'debian', package: 'busybox-static' },
  setfattr: { from: 'debian', package: 'attr' },
  'mkfs.ext4': { from: 'debian', package: 'e2fsprogs' },
  curl: { from: 'debian', package: 'curl' },
  openssl: { from: 'debian', package: 'openssl' },
  umount: { from: 'debian', package: 'mount' },
  strace: { from: 'debian', package: 'strace' },
  bash: { from: 'debian', package: 'bash' },
  zsh: { from: 'debian', package: 'zsh' },
  fish: { from: 'debian', package: 'fish' },
  groff: { from: 'debian', package: 'groff-base' },
};

export const programNames: readonly Program[] = Object.keys(programs) as Program[];

/** Where the programs built from source lie. */
export const toolsFolder: string = fileURLToPath(new URL('../../.tools/bin', import.meta.url));
