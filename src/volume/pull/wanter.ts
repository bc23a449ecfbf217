import { formatReference } from '../../oci/reference.ts';
import type { Kubelet } from '../../ports/kubelet.ts';
import type { PullRequest } from '../../ports/request.ts';
import type { Resolution } from '../../ports/resolution.ts';
import type { Wanter } from '../../ports/usecases.ts';

export function wanterOf(
  { caller, targetPath, pod }: PullRequest,
  { reference, descriptor }: Resolution,
): Wanter {
  return {
    reference: formatReference(reference),
    digest: descriptor.digest,
    kind: caller === 'administrator' ? 'command' : caller,
    ...(targetPath === undefined ? {} : { targetPath }),
    ...(pod === undefined ? {} : { pod }),
  };
}

/** The tenant of a pull: the namespace of its pod; commands share one tenant, and so do prefetches. */
export function tenantOf({ caller, pod }: Pick<PullRequest, 'caller' | 'pod'>): string {
  return pod === undefined ? caller : `namespace ${pod.namespace}`;
}

/** Whether a wanter whose call has ended will not return. A pod whose directory is unknown counts as present. */
export async function isGone({ kind, pod, targetPath }: Wanter, kubelet: Kubelet): Promise<boolean> {
  if (kind !== 'pod') return true;
  const uid = pod?.uid ?? (targetPath === undefined ? undefined : podOf(targetPath));
  return uid !== undefined && !(await kubelet.hasPod(uid));
}

/** The uid in `<kubelet>/pods/<uid>/volumes/…`. */
export function podOf(targetPath: string): string | undefined {
  return /\/pods\/([^/]+)\/volumes\//.exec(targetPath)?.[1];
}
