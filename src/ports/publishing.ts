import type { ArtifactError } from '../util/error.ts';
import type { AskedVolume } from './failing-volume.ts';
import type { Target } from './mounter.ts';
import type { PublishRequest } from './request.ts';
import type { Volume, VolumeStatus } from './usecases.ts';

/**
 * Where the bytes of a volume's layers came from, as the registry stores them. `resumed`: those of interrupted
 * downloads, which the pull continued. `cached`: those of layers that were complete; `later`: those that come while it
 * is mounted, of a volume that is loaded on demand alone; `pulled`: all others.
 */
export type Origin = {
  readonly pulled: number;
  readonly resumed: number;
  readonly cached: number;
  readonly later?: number;
  readonly pulledLayers: number;
  readonly cachedLayers: number;
};

/** A published volume; without an `origin` it was there before. */
export type Published = Volume & { readonly origin?: Origin };

export type Publishing = {
  /** Idempotent. @throws `busy` with the pull's progress on a DeadlineNear, `cancelled` on another abort. */
  publish(request: PublishRequest, signal: AbortSignal): Promise<Published>;
  /** Idempotent; succeeds if there is no such volume. Answers the volume that was there, if it is known. */
  unpublish(target: Target, signal: AbortSignal): Promise<Volume | undefined>;
  /** The recorded size of a volume at a path, or at any, and what is wrong with it. @throws `not-found`. */
  stats(volumeId: string, path: string | undefined, signal: AbortSignal): Promise<VolumeStatus>;
};

/** Publishing for kubelet. */
export type PodPublishing = Publishing & {
  /** Notes a request for a volume that is wrong by itself, and so is not published. */
  refused(asked: AskedVolume, error: ArtifactError): void;
};
