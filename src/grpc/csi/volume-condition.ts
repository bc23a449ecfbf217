import type { VolumeStatus } from '../../ports/usecases.ts';
import type { VolumeCondition } from '../wire/csi/v1/VolumeCondition.ts';

/** What kubelet tells of a volume, as an event of its pod and as a metric. */
export function toVolumeCondition(status: VolumeStatus): VolumeCondition {
  const { damaged, refused, mounted, targetPath } = status;
  const problems = [
    damaged &&
      `it shows damaged content of this node's cache: ${damaged}; delete the pod, and a new one gets the right bytes`,
    !mounted && `its artifact is not mounted at ${targetPath}; delete the pod, and a new one gets it`,
    refused && `it stays as it is, and a new pod would be refused it: ${refused}`,
  ].filter(problem => typeof problem === 'string');
  if (problems.length === 0) return { abnormal: false, message: 'nothing is known to be wrong' };
  return { abnormal: true, message: problems.join('; ') };
}
