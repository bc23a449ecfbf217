import { createHash } from 'node:crypto';
import type { Target } from '../ports/mounter.ts';
import type { VolumeRecord } from '../ports/records.ts';
import type { PublishRequest, PullRequest } from '../ports/request.ts';
import type { Volume, VolumeStatus } from '../ports/usecases.ts';
import { ArtifactError } from '../util/error.ts';

/** A volume of the command line. Each directory has one, whoever mounts it again. `targetPath` is absolute. */
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

/** The target of a volume, and whether its directory stays. */
export function toTarget({ targetPath, anywhere, keepsFolder: keepsDirectory }: VolumeRecord): Target {
  return { path: targetPath, anywhere, ...(keepsDirectory !== undefined && { keepsDirectory }) };
}

/** The command that ends a volume. */
export function formatEnding({ anywhere, targetPath, pod }: Volume): string {
  if (anywhere) return `\`unmount ${targetPath}\``;
  return pod === undefined ? 'delete its pod' : `delete the pod ${pod.namespace}/${pod.name}`;
}

/**
 * The volume at a directory that a user may unmount; undefined if there is none.
 *
 * @throws ArtifactError `denied` for a pod's volume, because kubelet would not notice.
 */
export function findOwnMount(volumes: readonly VolumeStatus[], targetPath: string): VolumeStatus | undefined {
  const volume = volumes.find(found => found.targetPath === targetPath);
  if (volume === undefined || volume.anywhere) return volume;
  const owner = volume.pod === undefined ? 'kubelet' : `the pod ${volume.pod.namespace}/${volume.pod.name}`;
  throw new ArtifactError('denied', `${targetPath} is a volume of ${owner}; delete the pod to unmount it`);
}
