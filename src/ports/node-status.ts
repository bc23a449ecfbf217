import type { DiskUsage } from './disk.ts';
import type { FailingVolume } from './failing-volume.ts';
import type { PrefetchStatus } from './prefetch.ts';

/** The state of this node. `daemon` is absent if a command works without a daemon. */
export type NodeStatus = {
  readonly stateDir: string;
  readonly disk: DiskUsage;
  readonly cacheBytes: number;
  /** Configuration files that are broken, a disk above a mark, and others, one line each. */
  readonly problems: readonly string[];
  /** Information about the node, one line each. */
  readonly facts: readonly string[];
  readonly daemon?: DaemonStatus;
  /** The entries of --prefetch. */
  readonly prefetch: readonly PrefetchStatus[];
  /** The volumes that kubelet asks this daemon for, and that fail, in the order in which they began to. */
  readonly failing: readonly FailingVolume[];
};

/** `notReady`: why no volume can be published now, one line each. `off`: another program registers the driver. */
export type DaemonStatus = {
  readonly version: string;
  readonly driverName: string;
  readonly notReady: readonly string[];
  readonly registration: 'off' | 'waiting' | 'registered';
};
