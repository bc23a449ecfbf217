import type { PrefetchEntry, PrefetchRow } from '../ports/prefetch.ts';
import { formatTime } from '../util/pause.ts';

/** Equal for entries that ask for the same, for the same list or custom resource. */
export function keyOf({ artifact, keep, intervalMs, nodeSelector, resource }: PrefetchEntry): string {
  return JSON.stringify([artifact, keep, intervalMs, nodeSelector, resource?.uid]);
}

export function priorityOf({ entry }: Pick<PrefetchRow, 'entry'>): number {
  return entry.resource?.priority ?? 0;
}

/** Why an entry is not pulled any more: it was not ready in time. */
export function findLateness({ entry, status }: Pick<PrefetchRow, 'entry' | 'status'>): string | undefined {
  const deadlineAt = entry.resource?.deadlineAt;
  if (deadlineAt === undefined || status.digest !== undefined || Date.now() < deadlineAt) return undefined;
  return `${entry.artifact.reference} was not ready at its deadline, ${formatTime(deadlineAt)}; set a later one`;
}
