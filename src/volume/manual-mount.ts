import { createHash } from 'node:crypto';
import { ArtifactError } from '../util/error.ts';
import type { Target } from '../ports/mounter.ts';
import type { VolumeRecord } from '../ports/records.ts';
import type { PublishRequest, PullRequest } from '../ports/request.ts';
import type { Volume, VolumeStatus } from '../ports/usecases.ts';

/** A volume that is a person's and no pod's: one for each folder, whoever mounts it again. `targetPath` is absolute. */
export function toMountRequest(targetPath: string, pull: PullRequest): PublishRequest {
  const { reference, pullPolicy, platform, selection } = pull;
  return {
    ...pull,
    volumeId: `mount-${createHash('sha256').update(targetPath).digest('hex').slice(0, 32)}`,
    targetPath,
    anywhere: true,
    mountFlags: [],
    fingerprint: JSON.stringify({ reference, pullPolicy, platform, selection }),
  };
}

/** Where a volume is, and what is left there at its end. */
export function toTarget({ targetPath, anywhere, keepsFolder }: VolumeRecord): Target {
  return { path: targetPath, anywhere, ...(keepsFolder !== undefined && { keepsFolder }) };
}

/** What a person does so that a folder shows it no more. */
export function formatEnding({ anywhere, targetPath, pod }: Volume): string {
  if (anywhere) return `\`unmount ${targetPath}\``;
  return pod === undefined ? 'delete its pod' : `delete the pod ${pod.namespace}/${pod.name}`;
}

/**
 * The volume that a person may unmount at a folder, or undefined if nothing of ours is there.
 *
 * @throws ArtifactError `denied` for a pod's: kubelet would not know.
 */
export function findOwnMount(volumes: readonly VolumeStatus[], targetPath: string): VolumeStatus | undefined {
  const volume = volumes.find(found => found.targetPath === targetPath);
  if (volume === undefined || volume.anywhere) return volume;
  const owner = volume.pod === undefined ? 'kubelet' : `the pod ${volume.pod.namespace}/${volume.pod.name}`;
  throw new ArtifactError('denied', `${targetPath} is a volume of ${owner}; delete the pod to unmount it`);
}
