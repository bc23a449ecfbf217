import type { PrefetchEntry, PrefetchRow, PrefetchStatus } from '../ports/prefetch.ts';
import { formatTime } from '../util/pause.ts';
import type { FoundContent } from './prefetch-pins.ts';

/** An entry, and how far it is. */
export type PrefetchItem = {
  entry: PrefetchEntry;
  status: PrefetchStatus;
  bytes: number;
  totalBytes: number;
  /** Too many nodes pull it. */
  isHeldBack: boolean;
  /** What its last pull found. */
  found?: FoundContent;
  dueAt: number;
  failures: number;
  /** Turns that ended before the work did, because others were due. */
  turns: number;
  /** Whether a pin of before a restart names it, and it was not looked for yet; undefined before pins are read. */
  isPinned?: boolean;
};

/** Equal for entries that ask for the same, for the same list or custom resource. */
export function keyOf({ artifact, keep, intervalMs, nodeSelector, resource }: PrefetchEntry): string {
  return JSON.stringify([artifact, keep, intervalMs, nodeSelector, resource?.uid]);
}

/** A new entry, which is due after so many milliseconds. @param now of the monotonic clock of `dueAt`. */
export function openItem(entry: PrefetchEntry, now: number, waitMs: number): PrefetchItem {
  const { reference } = entry.artifact;
  return {
    entry,
    status: { reference, state: 'waiting', nextAt: Date.now() + waitMs },
    bytes: 0,
    totalBytes: 0,
    isHeldBack: false,
    dueAt: now + waitMs,
    failures: 0,
    turns: 0,
  };
}

/** Why an entry is not pulled any more: it was not ready in time. */
export function findLateness({ entry, status }: Pick<PrefetchRow, 'entry' | 'status'>): string | undefined {
  const deadlineAt = entry.resource?.deadlineAt;
  if (deadlineAt === undefined || status.digest !== undefined || Date.now() < deadlineAt) return undefined;
  return `${entry.artifact.reference} was not ready at its deadline, ${formatTime(deadlineAt)}; set a later one`;
}

/**
 * Takes over an entry that asks for the same. What failed is tried again if its resource has changed since, and what
 * came too late, if the clock now says that it did not: it was wrong, and has been set.
 */
export function renewItem(item: PrefetchItem, entry: PrefetchEntry): PrefetchItem {
  const isChanged = item.entry.resource?.generation !== entry.resource?.generation;
  item.entry = entry;
  const isInTime = item.dueAt === Infinity && findLateness(item) === undefined;
  if (item.status.state === 'failed' && (isChanged || isInTime)) item.dueAt = 0;
  return item;
}
