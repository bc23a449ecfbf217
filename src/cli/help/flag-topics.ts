import { flags } from '../flags.ts';
import type { Settings } from '../settings.ts';

/** Headings of flags in the help of `serve`. */
export const headings = {
  daemon: 'Daemon:',
  node: 'Node:',
  registries: 'Registries:',
  credentials: 'Credentials:',
  pods: 'Access of pods:',
  signatures: 'Signatures:',
  downloads: 'Downloads:',
  cache: 'Cache:',
  sharing: 'Sharing with other programs:',
  layers: 'Limits of tar layers:',
  log: 'Log:',
} as const;
export type Topic = keyof typeof headings;

const topics: Readonly<Record<keyof Settings, Topic>> = {
  endpoint: 'daemon',
  driverName: 'daemon',
  kubeletDir: 'daemon',
  stateDir: 'daemon',
  nodeId: 'node',
  register: 'node',
  events: 'node',
  httpListen: 'node',
  pageListen: 'node',
  containerdSocket: 'sharing',
  share: 'sharing',
  registriesConf: 'registries',
  registriesConfDir: 'registries',
  hostsDir: 'registries',
  certsDir: 'registries',
  caFile: 'registries',
  dragonflySocket: 'registries',
  dragonflyDir: 'registries',
  dragonflyLink: 'registries',
  retryAfterMax: 'registries',
  nodeLabels: 'registries',
  authFile: 'credentials',
  credentialProviderConfig: 'credentials',
  credentialProviderBinDir: 'credentials',
  podPullSecrets: 'pods',
  cachedAuthorization: 'pods',
  accessPolicy: 'pods',
  policy: 'signatures',
  bundleIdentity: 'signatures',
  strictPolicy: 'signatures',
  maxParallelDownloads: 'downloads',
  minDownloadRate: 'downloads',
  downloadRate: 'downloads',
  mirrorRate: 'downloads',
  originSlots: 'downloads',
  originPatience: 'downloads',
  alwaysJitter: 'downloads',
  maxArtifactSize: 'downloads',
  onDemand: 'downloads',
  onDemandPatience: 'downloads',
  chunkLists: 'downloads',
  holder: 'downloads',
  prefetch: 'downloads',
  prefetchRate: 'downloads',
  prefetchResources: 'downloads',
  prefetchLabels: 'downloads',
  cacheHigh: 'cache',
  cacheLow: 'cache',
  diskMax: 'cache',
  cacheMax: 'cache',
  durablePublish: 'cache',
  scrubInterval: 'cache',
  selinuxLabel: 'cache',
  maxLayerEntries: 'layers',
  maxLayerSize: 'layers',
  maxLayerRatio: 'layers',
  logLevel: 'log',
  logFormat: 'log',
};

/** The flags of topics, and single flags, by topic. */
export function toKeys(wanted: readonly (Topic | keyof Settings)[]): readonly (keyof Settings)[] {
  const keys = Object.keys(flags) as (keyof Settings)[];
  return (Object.keys(headings) as Topic[]).flatMap(topic =>
    keys.filter(key => topics[key] === topic && (wanted.includes(key) || wanted.includes(topic))),
  );
}
