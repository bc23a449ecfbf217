import { hostname } from 'node:os';
import { parseSize } from '../util/size.ts';
import type { Settings } from './settings.ts';
import {
  oneOf,
  optional,
  parseAddress,
  parseBoolean,
  parseCount,
  parseDriverName,
  parseDuration,
  parseEndpoint,
  parseNodeId,
  parsePath,
  parsePercent,
  parseRate,
  parseText,
} from './values.ts';

/** One flag; its key `driverName` is `--driver-name`, and OCI_ARTIFACT_DRIVER_NAME unless `variable` names another. */
export type Flag<T = unknown> = {
  readonly value: string;
  readonly says: string;
  readonly preset: string;
  readonly parse: (text: string) => T;
  readonly variable?: string;
};

/** Every flag of `serve`, in the order of its help. */
export const flags: { readonly [K in keyof Settings]: Flag<Settings[K]> } = {
  endpoint: {
    value: 'URL',
    says: 'the CSI socket',
    preset: 'unix:///csi/csi.sock',
    parse: parseEndpoint,
    variable: 'CSI_ENDPOINT',
  },
  driverName: {
    value: 'NAME',
    says: 'the name of the CSI driver',
    preset: 'oci-artifact.csi.internal',
    parse: parseDriverName,
  },
  nodeId: {
    value: 'NAME',
    says: "the node's name in Kubernetes",
    preset: hostname(),
    parse: parseNodeId,
    variable: 'NODE_NAME',
  },
  stateDir: {
    value: 'DIR',
    says: 'the cache and the records of volumes',
    preset: '/var/lib/oci-artifact-csi',
    parse: parsePath,
  },
  selinuxLabel: {
    value: 'LABEL',
    says: 'label of the state folder where SELinux is on',
    preset: 'system_u:object_r:container_file_t:s0',
    parse: parseText,
  },
  kubeletDir: { value: 'DIR', says: "kubelet's folder", preset: '/var/lib/kubelet', parse: parsePath },
  register: {
    value: '[BOOL]',
    says: 'serve the registration socket for kubelet',
    preset: 'false',
    parse: parseBoolean,
  },
  httpListen: {
    value: 'ADDRESS',
    says: '[HOST]:PORT of /healthz, /readyz and /metrics; empty for none',
    preset: ':9809',
    parse: optional(parseAddress),
  },
  registriesConf: {
    value: 'FILE',
    says: "containers' registries.conf",
    preset: '/etc/containers/registries.conf',
    parse: parsePath,
  },
  registriesConfDir: {
    value: 'DIR',
    says: 'folder of further *.conf files',
    preset: '/etc/containers/registries.conf.d',
    parse: parsePath,
  },
  hostsDir: {
    value: 'DIR',
    says: "containerd's folder of <registry>/hosts.toml",
    preset: '',
    parse: optional(parsePath),
  },
  certsDir: {
    value: 'DIR',
    says: "containers' certs.d: a folder of certificates for each registry",
    preset: '',
    parse: optional(parsePath),
  },
  authFile: {
    value: 'FILE',
    says: "a docker config.json or containers' auth.json",
    preset: '',
    parse: optional(parsePath),
  },
  credentialProviderConfig: {
    value: 'PATH',
    says: "kubelet's CredentialProviderConfig: a file, or a folder of them",
    preset: '',
    parse: optional(parsePath),
  },
  credentialProviderBinDir: {
    value: 'DIR',
    says: 'the programs that it names',
    preset: '',
    parse: optional(parsePath),
  },
  podPullSecrets: {
    value: '[BOOL]',
    says: 'ask the Kubernetes API: pull secrets of pods and service accounts, labels of namespaces',
    preset: 'false',
    parse: parseBoolean,
  },
  cachedAuthorization: {
    value: 'WHO',
    says: 'who says whether a pod may have what is cached: registry or off',
    preset: 'registry',
    parse: oneOf('registry', 'off'),
  },
  accessPolicy: {
    value: 'FILE',
    says: 'rules for which namespaces may have which artifacts',
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
    says: 'accept sigstore bundles, which sign a digest and name no repository',
    preset: '',
    parse: optional(oneOf('digest')),
  },
  strictPolicy: {
    value: '[BOOL]',
    says: 'refuse fields of the policy that only this driver knows, such as trustedRootPath',
    preset: 'false',
    parse: parseBoolean,
  },
  caFile: {
    value: 'FILE',
    says: "PEM certificates, added to the system's",
    preset: '',
    parse: optional(parsePath),
  },
  maxParallelDownloads: {
    value: 'N',
    says: 'layers downloaded at once from one registry; each registry has its own so many',
    preset: '6',
    parse: parseCount,
  },
  minDownloadRate: {
    value: 'RATE',
    says: 'a download that brings less, over a minute, is ended; 0 for none',
    preset: '16KiB/s',
    parse: parseRate,
  },
  retryAfterMax: {
    value: 'DURATION',
    says: 'the longest wait that a registry may ask for; a pull that would wait longer fails at once',
    preset: '15m',
    parse: parseDuration,
  },
  cacheHigh: {
    value: 'PERCENT',
    says: 'of the disk in use (bytes or inodes), where collection begins',
    preset: '75',
    parse: parsePercent,
  },
  cacheLow: { value: 'PERCENT', says: 'where collection ends', preset: '70', parse: parsePercent },
  diskMax: {
    value: 'PERCENT',
    says: 'of the disk in use (bytes or inodes), where pulls end',
    preset: '90',
    parse: parsePercent,
  },
  cacheMax: { value: 'SIZE', says: 'largest size of the cache', preset: '', parse: optional(parseSize) },
  maxArtifactSize: {
    value: 'SIZE',
    says: 'largest artifact that is pulled',
    preset: '',
    parse: optional(parseSize),
  },
  scrubInterval: {
    value: 'DURATION',
    says: 'how often all of the cache is verified again, in the background; 0 for never',
    preset: '7d',
    parse: parseDuration,
  },
  maxLayerEntries: {
    value: 'N',
    says: 'most entries of a tar layer',
    preset: '1000000',
    parse: parseCount,
  },
  maxLayerSize: { value: 'SIZE', says: 'largest tar layer, unpacked', preset: '1TiB', parse: parseSize },
  maxLayerRatio: {
    value: 'N',
    says: 'most bytes of a tar layer for each compressed one',
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
