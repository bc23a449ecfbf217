import { hostname } from 'node:os';
import { parseDuration } from '../util/duration.ts';
import { parseSize } from '../util/size.ts';
import type { Settings } from './settings.ts';
import {
  oneOf,
  optional,
  parseAddress,
  parseBoolean,
  parseCount,
  parseDriverName,
  parseEndpoint,
  parseNodeId,
  parsePath,
  parsePercent,
  parseRate,
  parseText,
} from './values.ts';

/** A flag. The key `driverName` is `--driver-name`, and OCI_ARTIFACT_DRIVER_NAME unless `variable` names another. */
export type Flag<T = unknown> = {
  readonly value: string;
  readonly says: string;
  readonly preset: string;
  readonly parse: (text: string) => T;
  readonly variable?: string;
};

const offByDefault = (says: string): Flag<boolean> => ({
  value: '[BOOL]',
  says,
  preset: 'false',
  parse: parseBoolean,
});

/** Every flag of `serve`, in the order of its help. */
export const flags: { readonly [K in keyof Settings]: Flag<Settings[K]> } = {
  endpoint: {
    value: 'URL',
    says: 'CSI socket of the daemon',
    preset: 'unix:///csi/csi.sock',
    parse: parseEndpoint,
    variable: 'CSI_ENDPOINT',
  },
  driverName: {
    value: 'NAME',
    says: 'name of the CSI driver',
    preset: 'oci-artifact.csi.internal',
    parse: parseDriverName,
  },
  nodeId: {
    value: 'NAME',
    says: 'name of this node in Kubernetes',
    preset: hostname(),
    parse: parseNodeId,
    variable: 'NODE_NAME',
  },
  stateDir: {
    value: 'DIR',
    says: 'directory of the cache and of the records of volumes',
    preset: '/var/lib/oci-artifact-csi',
    parse: parsePath,
  },
  selinuxLabel: {
    value: 'LABEL',
    says: 'SELinux label of a new state directory',
    preset: 'system_u:object_r:container_file_t:s0',
    parse: parseText,
  },
  kubeletDir: {
    value: 'DIR',
    says: "kubelet's root directory",
    preset: '/var/lib/kubelet',
    parse: parsePath,
  },
  register: offByDefault('register the driver with kubelet'),
  httpListen: {
    value: 'ADDRESS',
    says: '[HOST]:PORT of /healthz, /readyz and /metrics; empty: none',
    preset: ':9809',
    parse: optional(parseAddress),
  },
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
  maxParallelDownloads: {
    value: 'N',
    says: 'maximum concurrent layer downloads per registry and namespace of pods',
    preset: '6',
    parse: parseCount,
  },
  minDownloadRate: {
    value: 'RATE',
    says: 'end a download that is slower over a minute; 0: never',
    preset: '16KiB/s',
    parse: parseRate,
  },
  retryAfterMax: {
    value: 'DURATION',
    says: 'longest Retry-After to wait for; a pull that a registry asks to wait longer fails',
    preset: '15m',
    parse: parseDuration,
  },
  prefetch: {
    value: 'FILE',
    says: 'list of the artifacts to have before any pod asks for them',
    preset: '',
    parse: optional(parsePath),
  },
  prefetchRate: {
    value: 'RATE',
    says: 'maximum rate of downloads that no pod and no command wants; 0: none',
    preset: '0',
    parse: parseRate,
  },
  cacheHigh: {
    value: 'PERCENT',
    says: 'start garbage collection at this disk usage, of bytes or inodes',
    preset: '75',
    parse: parsePercent,
  },
  cacheLow: {
    value: 'PERCENT',
    says: 'stop garbage collection at this disk usage',
    preset: '70',
    parse: parsePercent,
  },
  diskMax: {
    value: 'PERCENT',
    says: 'fail pulls at this disk usage, of bytes or inodes',
    preset: '90',
    parse: parsePercent,
  },
  cacheMax: { value: 'SIZE', says: 'maximum size of the cache', preset: '', parse: optional(parseSize) },
  maxArtifactSize: {
    value: 'SIZE',
    says: 'maximum size of an artifact to pull',
    preset: '',
    parse: optional(parseSize),
  },
  scrubInterval: {
    value: 'DURATION',
    says: 'verify all cached content again this often, in the background; 0: never',
    preset: '7d',
    parse: parseDuration,
  },
  maxLayerEntries: {
    value: 'N',
    says: 'maximum entries of a tar layer',
    preset: '1000000',
    parse: parseCount,
  },
  maxLayerSize: {
    value: 'SIZE',
    says: 'maximum unpacked size of a tar layer',
    preset: '1TiB',
    parse: parseSize,
  },
  maxLayerRatio: {
    value: 'N',
    says: 'maximum unpacked bytes of a tar layer for each compressed byte',
    preset: '1000',
    parse: parseCount,
  },
  logLevel: {
    value: 'LEVEL',
    says: 'debug, info, warn, error or silent',
    preset: 'info',
    parse: oneOf('debug', 'info', 'warn', 'error', 'silent'),
  },
  logFormat: { value: 'FORMAT', says: 'json or text', preset: 'json', parse: oneOf('json', 'text') },
};
