import { parseDuration } from '../util/duration.ts';
import { parseSize } from '../util/size.ts';
import { type Flags, offByDefault } from './flag.ts';
import { oneOf, optional, parseCount, parseEndpoint, parsePath, parsePercent, parseRate } from './values.ts';

/** The flags of `serve` for downloads, the cache and unpacking. */
export const contentFlags: Flags<
  | 'maxParallelDownloads'
  | 'minDownloadRate'
  | 'downloadRate'
  | 'mirrorRate'
  | 'originSlots'
  | 'originPatience'
  | 'alwaysJitter'
  | 'retryAfterMax'
  | 'prefetch'
  | 'prefetchRate'
  | 'prefetchResources'
  | 'prefetchLabels'
  | 'cacheHigh'
  | 'cacheLow'
  | 'diskMax'
  | 'cacheMax'
  | 'maxArtifactSize'
  | 'durablePublish'
  | 'onDemand'
  | 'onDemandPatience'
  | 'chunkLists'
  | 'holder'
  | 'scrubInterval'
  | 'maxLayerEntries'
  | 'maxLayerSize'
  | 'maxLayerRatio'
> = {
  maxParallelDownloads: {
    value: 'N',
    says: 'maximum concurrent layer downloads per registry and namespace of pods',
    preset: '6',
    parse: parseCount,
  },
  minDownloadRate: {
    value: 'BYTES/s',
    says: 'end a download that brings fewer bytes per second than this, over a minute; 0: never',
    preset: '16KiB/s',
    parse: parseRate,
  },
  downloadRate: {
    value: 'BYTES/s',
    says: 'maximum bytes per second of all downloads together; 0: no maximum',
    preset: '0',
    parse: parseRate,
  },
  mirrorRate: {
    value: 'BYTES/s',
    says: 'maximum bytes per second of all downloads from mirrors, which then do not count in --download-rate; 0: they count there',
    preset: '0',
    parse: parseRate,
  },
  originSlots: {
    value: 'N',
    says: 'how many nodes of the cluster take blobs from one registry at once; 0: any number',
    preset: '0',
    parse: text => (text === '0' ? 0 : parseCount(text)),
  },
  originPatience: {
    value: 'DURATION',
    says: 'how long a node waits for its turn of --origin-slots, and asks mirrors meanwhile',
    preset: '10m',
    parse: parseDuration,
  },
  alwaysJitter: {
    value: 'DURATION',
    says: 'the longest random wait before the tag of a volume with pullPolicy Always is asked for; 0: none',
    preset: '0',
    parse: parseDuration,
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
    value: 'BYTES/s',
    says: 'maximum bytes per second of downloads that only prefetches want; 0: no maximum',
    preset: '0',
    parse: parseRate,
  },
  prefetchResources: offByDefault(
    'follow ArtifactPrefetch and ClusterArtifactPrefetch of the Kubernetes API',
  ),
  prefetchLabels: offByDefault('label the node with each of these that is ready'),
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
  durablePublish: offByDefault('mount a volume only when a power cut would not take its content'),
  onDemand: {
    value: 'SWITCH',
    says: 'on or off; off: loading: onDemand has no effect, and volumes are mounted when all of their content is on the node',
    preset: 'on',
    parse: oneOf('on', 'off'),
  },
  onDemandPatience: {
    value: 'DURATION',
    says: 'how long a read waits for content that is loaded on demand, while nothing of it arrives, before it fails (EIO)',
    preset: '60s',
    parse: parseDuration,
  },
  chunkLists: {
    value: 'WHICH',
    says: 'none, manifest or signed: the chunk lists that count for a file that is loaded on demand; manifest: those that its manifest covers; signed: also those that refer to it and are signed as the policy demands',
    preset: 'manifest',
    parse: oneOf('none', 'manifest', 'signed'),
  },
  holder: {
    value: 'URL',
    says: 'socket of the holder, which lets reads of content that is loaded on demand wait while no daemon runs',
    preset: '',
    parse: optional(parseEndpoint),
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
};
