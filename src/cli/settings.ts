import type { Labels } from '../ports/kube.ts';
import type { ShareRule } from '../ports/sharing.ts';
import type { ListenAddress } from './values.ts';

/**
 * The settings of a node, from flags and environment. Paths are absolute, sizes in bytes, percentages of the disk in
 * use.
 */
export type Settings = {
  /** Path of the CSI socket. */
  readonly endpoint: string;
  readonly driverName: string;
  readonly nodeId: string;
  readonly stateDir: string;
  readonly selinuxLabel: string;
  readonly kubeletDir: string;
  /** Whether to serve kubelet's registration socket. */
  readonly register: boolean;
  /** Undefined: no HTTP. */
  readonly httpListen: ListenAddress | undefined;
  /** A loopback address; undefined: no page. */
  readonly pageListen: ListenAddress | undefined;
  /** Path of a socket that shows the cache as containerd does; undefined: none. */
  readonly containerdSocket: string | undefined;
  /** What it shows. */
  readonly share: ShareRule;
  readonly registriesConf: string;
  readonly registriesConfDir: string;
  readonly hostsDir: string | undefined;
  readonly certsDir: string | undefined;
  /** Path of the socket of dfdaemon; undefined: its proxy is used alone. */
  readonly dragonflySocket: string | undefined;
  /** The directory in which dfdaemon links its files. */
  readonly dragonflyDir: string;
  /** Whether its files become those of the cache where blocks cannot be shared. */
  readonly dragonflyLink: boolean;
  readonly authFile: string | undefined;
  /** kubelet's CredentialProviderConfig, and the directory of its programs; both or neither. */
  readonly credentialProviderConfig: string | undefined;
  readonly credentialProviderBinDir: string | undefined;
  /** Whether to read the pull secrets of pods from the Kubernetes API. */
  readonly podPullSecrets: boolean;
  /** The labels of this node; `api`: those that the Kubernetes API has. */
  readonly nodeLabels: 'api' | Labels | undefined;
  /** Whether to send events of pods to the Kubernetes API. */
  readonly events: boolean;
  /** Whether a cached artifact is authorised by its registry again, or not at all. */
  readonly cachedAuthorization: 'registry' | 'off';
  readonly accessPolicy: string | undefined;
  /** containers' policy.json; undefined: signatures are not required. */
  readonly policy: string | undefined;
  readonly bundleIdentity: 'digest' | undefined;
  /** Whether the policy may only use what containers itself supports. */
  readonly strictPolicy: boolean;
  readonly caFile: string | undefined;
  readonly maxParallelDownloads: number;
  /** Bytes per second; 0: no minimum. */
  readonly minDownloadRate: number;
  /** Bytes per second of all downloads; 0: no maximum. */
  readonly downloadRate: number;
  /** Bytes per second of all downloads from mirrors; 0: they count as the others. */
  readonly mirrorRate: number;
  /** How many nodes take blobs from one registry at once; 0: any number. */
  readonly originSlots: number;
  /** Milliseconds for which a node waits for a slot. */
  readonly originPatience: number;
  /** The longest random wait before a tag is asked for under Always, ms; 0: none. */
  readonly alwaysJitter: number;
  /** Milliseconds. */
  readonly retryAfterMax: number;
  /** The list of artifacts to have before any pod asks for them. */
  readonly prefetch: string | undefined;
  /** Bytes per second of all downloads that only the list wants; 0: no maximum. */
  readonly prefetchRate: number;
  /** Whether to follow the prefetches of the Kubernetes API, and to label the node with those that are ready. */
  readonly prefetchResources: boolean;
  readonly prefetchLabels: boolean;
  readonly cacheHigh: number;
  readonly cacheLow: number;
  readonly diskMax: number;
  readonly cacheMax: number | undefined;
  readonly maxArtifactSize: number | undefined;
  /** Whether a volume waits until a power cut would not take its content. */
  readonly durablePublish: boolean;
  /** Whether volumes that ask for it are loaded on demand. */
  readonly onDemand: 'on' | 'off';
  /** Milliseconds for which a read of missing content waits. */
  readonly onDemandPatience: number;
  /** Which lists of chunks count. */
  readonly chunkLists: 'none' | 'manifest' | 'signed';
  /** The socket of the holder. */
  readonly holder: string | undefined;
  /** Milliseconds between two verifications of the same content; 0: only those that a publish needs. */
  readonly scrubInterval: number;
  readonly maxLayerEntries: number;
  readonly maxLayerSize: number;
  /** Uncompressed bytes per compressed byte. */
  readonly maxLayerRatio: number;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  readonly logFormat: 'json' | 'text';
};
