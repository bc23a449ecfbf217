import type { Digest } from '../oci/digest.ts';
import { formatReference } from '../oci/reference.ts';
import type { Kubelet } from './contracts/kubelet.ts';
import type { Pod, PullRequest } from './request.ts';
import type { Resolution } from './resolution.ts';

/**
 * For whom a pull is under way, and what they call it. A command wants it for as long as its call waits; a pod also
 * between the calls of kubelet, which have a deadline and come again, until the pod is gone.
 */
export type Wanter = {
  /** The full reference that answered, and what it names; of an index, the index's own digest. */
  readonly reference: string;
  readonly digest: Digest;
  readonly kind: 'command' | 'pod';
  /** Where it is to be mounted. */
  readonly targetPath?: string;
  readonly pod?: Pod;
};

export function wanterOf(
  { caller, targetPath, pod }: PullRequest,
  { reference, descriptor }: Resolution,
): Wanter {
  return {
    reference: formatReference(reference),
    digest: descriptor.digest,
    kind: caller === 'pod' ? 'pod' : 'command',
    ...(targetPath === undefined ? {} : { targetPath }),
    ...(pod === undefined ? {} : { pod }),
  };
}

/** Whether a wanter whose call has ended will not come back. A pod whose directory nobody can name is waited for. */
export async function isGone({ kind, pod, targetPath }: Wanter, kubelet: Kubelet): Promise<boolean> {
  if (kind === 'command') return true;
  const uid = pod?.uid ?? (targetPath === undefined ? undefined : podOf(targetPath));
  return uid !== undefined && !(await kubelet.hasPod(uid));
}

/** The uid in `<kubelet>/pods/<uid>/volumes/…`. */
export function podOf(targetPath: string): string | undefined {
  return /\/pods\/([^/]+)\/volumes\//.exec(targetPath)?.[1];
}
