import type { ArtifactSources } from './configuration.ts';
import type { Cluster } from './kube/cluster.ts';
import type { DiskUsage } from './ports/disk.ts';
import type { VolumeEvents } from './ports/events.ts';
import type { FailingVolume } from './ports/failing-volume.ts';
import type { LateSummary } from './ports/on-demand.ts';
import type { PrefetchStatus } from './ports/prefetch.ts';
import type { PodPublishing } from './ports/publishing.ts';
import type { Sharing } from './ports/sharing.ts';
import type { Artifacts } from './ports/usecases.ts';

/** The use cases of one node over its state directory. */
export type Node = {
  readonly artifacts: Artifacts;
  readonly publishing: PodPublishing;
  cacheBytes(): Promise<number>;
  diskUsage(): Promise<DiskUsage>;
  /** Configuration files that are broken, one line each. Their last good version is in force, or they refuse. */
  problems(): readonly string[];
  /** The problems, and which mark of the disk or the cache is passed. */
  notes(): Promise<readonly string[]>;
  /** Information about the node, one line each. */
  facts(): readonly string[];
  /** The entries of --prefetch. */
  prefetch(): readonly PrefetchStatus[];
  /** The volumes that kubelet asks for, and that fail. */
  failing(): readonly FailingVolume[];
  /** Whether fs-verity seals the cache. */
  readonly isSealed: boolean;
  /** Why no view is an image; undefined if those of tars are. */
  readonly imagesOff: string | undefined;
  /** As the metrics show them. */
  readonly origins: ArtifactSources['origins'];
  /** The volumes that are loaded on demand. */
  onDemand(): LateSummary;
  /** What others may read of the cache; undefined without --containerd-socket. */
  readonly sharing: Sharing | undefined;
  /** Verifies the cache and follows the prefetches, in the background, until this is closed. */
  startWork(): void;
  /** Why volumes cannot be published now, one line each. */
  obstacles(): readonly string[];
  /** Why only a restart helps. */
  expired(): string | undefined;
  close(): Promise<void>;
};

/** What a daemon opens before the state directory, so that a standby has it when it takes over. */
export type Ahead = {
  /** For a daemon that sends events. */
  readonly events?: VolumeEvents | undefined;
  readonly cluster?: Cluster | undefined;
  /** The socket of its holder. A command has none. */
  readonly holder?: string | undefined;
};
