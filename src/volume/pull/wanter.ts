import { randomUUID } from 'node:crypto';
import { formatReference, parseReference } from '../../oci/reference.ts';
import type { Kubelet } from '../../ports/kubelet.ts';
import type { PullRequest } from '../../ports/request.ts';
import type { Resolution } from '../../ports/resolution.ts';
import type { Progress, Wanter } from '../../ports/usecases.ts';
import type { FlightCaller } from './single-flight.ts';

/** Who wants a pull whose reference is not resolved yet. */
export function toWanter({ reference: text, pinned, caller, targetPath, pod }: PullRequest): Wanter {
  const parsed = parseReference(text);
  const digest = pinned ?? (parsed.kind === 'full' ? parsed.reference : parsed).digest;
  return {
    reference: parsed.kind === 'full' ? formatReference(parsed.reference) : text,
    kind: kindOf(caller),
    ...(digest === undefined ? {} : { digest }),
    ...(targetPath === undefined ? {} : { targetPath }),
    ...(pod === undefined ? {} : { pod }),
  };
}

/** Who wants a pull whose reference is resolved. */
function wanterOf({ caller, targetPath, pod }: PullRequest, { reference, descriptor }: Resolution): Wanter {
  return {
    reference: formatReference(reference),
    digest: descriptor.digest,
    kind: kindOf(caller),
    ...(targetPath === undefined ? {} : { targetPath }),
    ...(pod === undefined ? {} : { pod }),
  };
}

function kindOf(caller: PullRequest['caller']): Wanter['kind'] {
  return caller === 'administrator' ? 'command' : caller;
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

/** A pod is the same caller at each call of kubelet; a command is another one each time. */
export function toCaller(
  request: PullRequest,
  resolution: Resolution,
  onProgress: (progress: Progress) => void,
): FlightCaller<Progress, Wanter> {
  const who = wanterOf(request, resolution);
  const id = who.kind === 'pod' && who.targetPath !== undefined ? who.targetPath : randomUUID();
  return { id, who, tenant: tenantOf(request), onReport: onProgress };
}
