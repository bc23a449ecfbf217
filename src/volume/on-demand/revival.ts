import type { LateView } from '../../ports/late-views.ts';
import type { Brief, VolumeRecord } from '../../ports/records.ts';
import type { PullRequest } from '../../ports/request.ts';
import type { View } from '../../ports/store.ts';

/** The pull that continues the late view of a volume: of exactly its content, and with what `request` knows better. */
export function revivalOf(
  { view, targetPath, anywhere, pod, resolved, digest }: Brief<VolumeRecord>,
  { platform }: LateView,
  selection: NonNullable<View['selection']>,
  request: Partial<PullRequest>,
): PullRequest {
  return {
    secrets: {},
    caller: anywhere ? 'administrator' : 'pod',
    ...(platform && { platform }),
    ...(pod && { pod }),
    ...request,
    targetPath,
    selection,
    reference: resolved,
    pinned: digest,
    pullPolicy: 'IfNotPresent',
    late: view,
  };
}
