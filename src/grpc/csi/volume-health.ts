import type { VolumeStatus } from '../../ports/usecases.ts';
import { shortenBytes } from '../../util/name.ts';
import type { VolumeCondition } from '../wire/csi/v1/VolumeCondition.ts';
import type { VolumeHealth } from '../wire/csi/v1/VolumeHealth.ts';

/** Bytes of a message: with a longer one, the API server refuses the whole status of the pod. */
const longestMessage = 1024;

type Problem = {
  readonly status: 'DATA_LOSS' | 'INACCESSIBLE' | 'DEGRADED';
  readonly reason: 'DamagedContent' | 'WrongChunkList' | 'NotMounted' | 'NotLoaded' | 'Refused';
  readonly message: string;
};

/** What kubelet 1.37 shows in the status of the pod. */
export function toVolumeHealth(status: VolumeStatus): VolumeHealth {
  const statuses = problemsOf(status).map(problem => ({
    ...problem,
    message: shortenBytes(problem.message, longestMessage),
  }));
  return { volume_id: status.volumeId, health_statuses: statuses };
}

/** What an older kubelet tells of a volume, as an event of its pod and as a metric. */
export function toVolumeCondition(status: VolumeStatus): VolumeCondition {
  const messages = problemsOf(status).map(({ message }) => message);
  if (messages.length === 0) return { abnormal: false, message: 'nothing is known to be wrong' };
  return { abnormal: true, message: messages.join('; ') };
}

function problemsOf({ damaged, refused, mounted, loading, targetPath }: VolumeStatus): readonly Problem[] {
  const problems: Problem[] = [];
  if (damaged !== undefined)
    problems.push({
      status: 'DATA_LOSS',
      reason: 'DamagedContent',
      message: `it shows damaged content of this node's cache: ${damaged}; delete the pod, and a new one gets the right bytes`,
    });
  if (loading?.problem !== undefined && loading.lied === true)
    problems.push({
      status: 'DATA_LOSS',
      reason: 'WrongChunkList',
      message: `what was read of it may be wrong: ${loading.problem}`,
    });
  if (!mounted)
    problems.push({
      status: 'INACCESSIBLE',
      reason: 'NotMounted',
      message: `its artifact is not mounted at ${targetPath}; delete the pod, and a new one gets it`,
    });
  if (loading?.problem !== undefined && loading.lied !== true)
    problems.push({
      status: 'DEGRADED',
      reason: 'NotLoaded',
      message: `what is not loaded yet cannot be read: ${loading.problem}; it is tried again`,
    });
  if (refused !== undefined)
    problems.push({
      status: 'DEGRADED',
      reason: 'Refused',
      message: `it stays as it is, and a new pod would be refused it: ${refused}`,
    });
  return problems;
}
