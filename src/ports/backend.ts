import type { DiskAmount } from './disk.ts';
import type { Publishing } from './publishing.ts';
import type { Artifacts } from './usecases.ts';

/** The use cases that a command calls: those of this process, or those of a daemon behind its socket. */
export type Backend = {
  readonly artifacts: Artifacts;
  readonly publishing: Pick<Publishing, 'publish' | 'unpublish'>;
  close(): Promise<void>;
};

/** The part of csi.v1.Node that the demo calls, as kubelet does for an inline volume of a pod. */
export type CsiNode = {
  publish(
    volumeId: string,
    targetPath: string,
    attributes: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<void>;
  unpublish(volumeId: string, targetPath: string, signal: AbortSignal): Promise<void>;
  stats(volumeId: string, volumePath: string, signal: AbortSignal): Promise<DiskAmount>;
  close(): void;
};
