import type { Digest } from '../oci/digest.ts';

/** Disk usage, needed or taken. */
export type DiskAmount = { readonly bytes: number; readonly inodes: number };

/** The disk usage of tar layers, measured when they were last unpacked. */
export type LayerSizes = {
  get(digest: Digest): DiskAmount | undefined;
  set(digest: Digest, size: DiskAmount): void;
};

/** Usage of the filesystem of the state directory, from statfs. */
export type DiskUsage = {
  readonly totalBytes: number;
  readonly usedBytes: number;
  /** Less than total - used if the filesystem reserves blocks for root. */
  readonly availableBytes: number;
  /** 0 if the filesystem does not count inodes. */
  readonly totalInodes: number;
  readonly usedInodes: number;
};
export type Disk = { usage(): Promise<DiskUsage> };
