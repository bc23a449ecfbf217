import type { ListenAddress } from './values.ts';

/** What a node is told, from flags and environment. Paths are absolute, sizes in bytes, percents of the disk in use. */
export type Settings = {
  /** Path of the CSI socket. */
  readonly endpoint: string;
  readonly driverName: string;
  readonly nodeId: string;
  readonly stateDir: string;
  readonly selinuxLabel: string;
  readonly kubeletDir: string;
  /** Whether to serve the registration socket for kubelet. */
  readonly register: boolean;
  /** Undefined: no HTTP. */
  readonly httpListen: ListenAddress | undefined;
  readonly registriesConf: string;
  readonly registriesConfDir: string;
  readonly hostsDir: string | undefined;
  readonly certsDir: string | undefined;
  readonly authFile: string | undefined;
  /** kubelet's CredentialProviderConfig, and the folder of its programs; both or neither. */
  readonly credentialProviderConfig: string | undefined;
  readonly credentialProviderBinDir: string | undefined;
  /** Whether the Kubernetes API is asked for the pull secrets of pods. */
  readonly podPullSecrets: boolean;
  /** Whether a cached artifact is authorised by its registry again, or not at all. */
  readonly cachedAuthorization: 'registry' | 'off';
  readonly accessPolicy: string | undefined;
  /** containers' policy.json; undefined: every artifact may be mounted, signed or not. */
  readonly policy: string | undefined;
  readonly bundleIdentity: 'digest' | undefined;
  /** Whether the policy may have only what containers itself knows. */
  readonly strictPolicy: boolean;
  readonly caFile: string | undefined;
  readonly maxParallelDownloads: number;
  /** Bytes per second; 0 for none. */
  readonly minDownloadRate: number;
  /** Milliseconds. */
  readonly retryAfterMax: number;
  readonly cacheHigh: number;
  readonly cacheLow: number;
  readonly diskMax: number;
  readonly cacheMax: number | undefined;
  readonly maxArtifactSize: number | undefined;
  /** Milliseconds between two verifications of the same content; 0: none but those that a publish needs. */
  readonly scrubInterval: number;
  readonly maxLayerEntries: number;
  readonly maxLayerSize: number;
  /** Uncompressed bytes for each compressed one. */
  readonly maxLayerRatio: number;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  readonly logFormat: 'json' | 'text';
};
