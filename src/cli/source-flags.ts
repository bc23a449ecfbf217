import { type Flags, offByDefault } from './flag.ts';
import { oneOf, optional, parseNodeLabels, parsePath, parseSocketPath } from './values.ts';

/** The flags of `serve` for registries, credentials and policies. */
export const sourceFlags: Flags<
  | 'registriesConf'
  | 'registriesConfDir'
  | 'hostsDir'
  | 'certsDir'
  | 'dragonflySocket'
  | 'dragonflyDir'
  | 'dragonflyLink'
  | 'authFile'
  | 'credentialProviderConfig'
  | 'credentialProviderBinDir'
  | 'podPullSecrets'
  | 'nodeLabels'
  | 'events'
  | 'cachedAuthorization'
  | 'accessPolicy'
  | 'policy'
  | 'bundleIdentity'
  | 'strictPolicy'
  | 'caFile'
> = {
  registriesConf: {
    value: 'FILE',
    says: "containers' registries.conf: mirrors, short names, insecure registries",
    preset: '/etc/containers/registries.conf',
    parse: parsePath,
  },
  registriesConfDir: {
    value: 'DIR',
    says: 'drop-ins of registries.conf (*.conf)',
    preset: '/etc/containers/registries.conf.d',
    parse: parsePath,
  },
  hostsDir: {
    value: 'DIR',
    says: "containerd's directory of REGISTRY/hosts.toml",
    preset: '',
    parse: optional(parsePath),
  },
  certsDir: {
    value: 'DIR',
    says: "containers' certs.d: REGISTRY/*.crt, *.cert and *.key",
    preset: '',
    parse: optional(parsePath),
  },
  dragonflySocket: {
    value: 'PATH',
    says: "socket of Dragonfly's dfdaemon, which links large blobs into --dragonfly-dir; empty: its proxy sends them",
    preset: '',
    parse: optional(parseSocketPath),
  },
  dragonflyDir: {
    value: 'DIR',
    says: "directory for that, on the filesystem of --state-dir and inside dfdaemon's storage",
    preset: '/var/lib/dragonfly/oci-artifact-csi',
    parse: parsePath,
  },
  dragonflyLink: offByDefault(
    'where files share no blocks, make those of dfdaemon files of the cache; dfdaemon can then change them',
  ),
  authFile: {
    value: 'FILE',
    says: "credentials: a docker config.json or containers' auth.json",
    preset: '',
    parse: optional(parsePath),
  },
  credentialProviderConfig: {
    value: 'PATH',
    says: "kubelet's CredentialProviderConfig: a file, or a directory of them",
    preset: '',
    parse: optional(parsePath),
  },
  credentialProviderBinDir: {
    value: 'DIR',
    says: 'directory of the programs that it names',
    preset: '',
    parse: optional(parsePath),
  },
  podPullSecrets: offByDefault('read pull secrets of pods and labels of namespaces from the Kubernetes API'),
  nodeLabels: {
    value: 'LABELS',
    says: 'labels of this node, for addresses of mirrors: KEY=VALUE,..., or api for those of the Kubernetes API',
    preset: '',
    parse: optional(parseNodeLabels),
  },
  events: offByDefault('send events of pods about their volumes to the Kubernetes API'),
  cachedAuthorization: {
    value: 'WHO',
    says: 'who decides whether a pod may mount cached content: registry, or off for no check',
    preset: 'registry',
    parse: oneOf('registry', 'off'),
  },
  accessPolicy: {
    value: 'FILE',
    says: 'which namespaces may mount which artifacts',
    preset: '',
    parse: optional(parsePath),
  },
  policy: {
    value: 'FILE',
    says: "containers' policy.json: which artifacts must be signed, and by whom",
    preset: '',
    parse: optional(parsePath),
  },
  bundleIdentity: {
    value: 'digest',
    says: 'digest: accept sigstore bundles, which sign a digest and name no repository',
    preset: '',
    parse: optional(oneOf('digest')),
  },
  strictPolicy: offByDefault(
    'refuse fields of --policy that only this driver knows, such as trustedRootPath',
  ),
  caFile: {
    value: 'FILE',
    says: "CA certificates (PEM) to trust in addition to the system's",
    preset: '',
    parse: optional(parsePath),
  },
};
