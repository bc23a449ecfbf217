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

/** An entry that waits for its turn. */
type Waiting = Pick<PrefetchRow, 'entry'> & { dueAt: number };

/**
 * The entry to work on, of those that are due, of which the first has been due for longest. Priorities of the cluster
 * order all entries. Those of a namespace order its own: the chosen one and the first of its namespace change places in
 * time, so that a namespace gets no more turns by priorities.
 */
export function chooseDue<Item extends Waiting>(due: readonly Item[]): Item | undefined {
  const [first] = due.toSorted((a, b) => reachOf(b) - reachOf(a));
  if (first === undefined || namespaceOf(first) === undefined) return first;
  const own = due.filter(item => namespaceOf(item) === namespaceOf(first));
  const chosen = own.toSorted((a, b) => priorityOf(b) - priorityOf(a))[0] ?? first;
  [first.dueAt, chosen.dueAt] = [chosen.dueAt, first.dueAt];
  return chosen;
}

/** Whether an entry that works has to give way to another one that is due. */
export function givesWay(working: Pick<PrefetchRow, 'entry'>, other: Pick<PrefetchRow, 'entry'>): boolean {
  return namespaceOf(working) === namespaceOf(other)
    ? priorityOf(other) >= priorityOf(working)
    : reachOf(other) >= reachOf(working);
}

/** The priority among the entries of all. */
function reachOf(item: Pick<PrefetchRow, 'entry'>): number {
  return namespaceOf(item) === undefined ? priorityOf(item) : 0;
}

function priorityOf({ entry }: Pick<PrefetchRow, 'entry'>): number {
  return entry.resource?.priority ?? 0;
}

function namespaceOf({ entry }: Pick<PrefetchRow, 'entry'>): string | undefined {
  return entry.resource?.namespace;
}

/** Why an entry is not pulled any more: it was not ready in time. */
export function findLateness({ entry, status }: Pick<PrefetchRow, 'entry' | 'status'>): string | undefined {
  const deadlineAt = entry.resource?.deadlineAt;
  if (deadlineAt === undefined || status.digest !== undefined || Date.now() < deadlineAt) return undefined;
  return `${entry.artifact.reference} was not ready at its deadline, ${formatTime(deadlineAt)}; set a later one`;
}

/** Takes over an entry that asks for the same. What failed is tried again if its resource has changed since. */
export function renewItem(item: PrefetchItem, entry: PrefetchEntry): PrefetchItem {
  const isChanged = item.entry.resource?.generation !== entry.resource?.generation;
  if (isChanged && item.status.state === 'failed') item.dueAt = 0;
  item.entry = entry;
  return item;
}
