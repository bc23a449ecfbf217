import type { Digest } from '../oci/digest.ts';
import { formatReference } from '../oci/reference.ts';
import type {
  NodeLabels,
  PrefetchEntry,
  PrefetchList,
  PrefetchRow,
  PrefetchStatus,
} from '../ports/prefetch.ts';
import type { Pins } from '../ports/records.ts';
import type { Expander } from '../ports/registry.ts';
import type { PullPolicy } from '../ports/request.ts';
import type { Progress } from '../ports/usecases.ts';
import { toArtifactError } from '../util/error.ts';
import { sleep } from '../util/sleep.ts';
import { findLateness, keyOf, openItem, type PrefetchItem, renewItem } from './prefetch-entry.ts';
import { createPrefetchOrder, givesWay } from './prefetch-order.ts';
import { createPrefetchPins } from './prefetch-pins.ts';
import { inTurn, lookMs } from './prefetch-turn.ts';
import type { Naming } from './pull/naming.ts';
import type { Pull } from './pull/pull.ts';

/** Keeps the artifacts of a list in the cache. It pulls one at a time, with the credentials of the node or the entry. */
export type Prefetch = {
  /** Takes over the present list, and ends the pins of entries that it no longer keeps. */
  follow(): Promise<void>;
  /** Follows the list until the signal aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
  status(): readonly PrefetchStatus[];
  /** The entries and how far they are. */
  rows(): readonly PrefetchRow[];
};

/**
 * All nodes of a cluster get a new list at about the same time. Each starts after a random part of this time, or of a
 * twentieth of the interval if that is shorter.
 */
const spreadMs = 30_000;
const firstRetryMs = 10_000;
const longestRetryMs = 10 * 60_000;
/** How often an entry that too many nodes pull, or for which there is no room, asks again, in ms. */
const [heldBackMs, noRoomMs] = [5_000, 30_000];

/** @param random from 0 to 1. @param now milliseconds of a monotonic clock, which dates of the status do not follow. */
export function createPrefetch(
  world: {
    readonly list: PrefetchList;
    /** Undefined while the Kubernetes API is off. */
    readonly labels: NodeLabels | undefined;
    readonly pull: Pick<Pull, 'pull'>;
    readonly naming: Pick<Naming, 'keep' | 'unpin'>;
    readonly pins: Pick<Pins, 'list'>;
    readonly expander: Expander;
    /** Why there is little room for content that no pod has asked for; undefined if there is room. */
    readonly pressure: () => Promise<string | undefined>;
    readonly log: { info(text: string): void; warn(text: string): void };
  },
  random: () => number = Math.random,
  now: () => number = () => performance.now(),
): Prefetch {
  const { list, pull, log } = world;
  const pins = createPrefetchPins(world);
  const order = createPrefetchOrder();
  let items: readonly PrefetchItem[] = [];

  /** Takes over the state of entries that are still listed. */
  const adopt = (entries: readonly PrefetchEntry[]): void => {
    const before = new Map(items.map(item => [keyOf(item.entry), item]));
    items = entries.map(entry => {
      const known = before.get(keyOf(entry));
      if (known !== undefined) return renewItem(known, entry);
      return openItem(entry, now(), random() * Math.min(spreadMs, (entry.intervalMs ?? Infinity) / 20));
    });
  };

  const kept = (): readonly PrefetchItem[] =>
    items.filter(({ entry, status }) => entry.keep && status.state !== 'elsewhere');

  /** An entry that has lost its pin is due again. */
  const comparePins = async (): Promise<void> => {
    const bare = new Set(await pins.compare(kept()));
    for (const item of bare) if (item.status.state === 'ready') item.dueAt = 0;
    for (const item of kept()) item.isPinned ??= !bare.has(item);
  };

  const settle = (
    item: PrefetchItem,
    status: Omit<PrefetchStatus, 'reference' | 'nextAt'>,
    afterMs?: number,
  ): void => {
    item.dueAt = now() + (afterMs ?? Infinity);
    const { reference } = item.entry.artifact;
    item.status = {
      reference,
      ...status,
      ...(afterMs === undefined ? {} : { nextAt: Date.now() + afterMs }),
    };
  };

  /** It is no failure: nothing was tried. */
  const hold = (item: PrefetchItem, why: string, afterMs: number): void => {
    const { digest } = item.status;
    const problem = `${item.entry.artifact.reference} waits ${why}`;
    settle(item, { state: 'waiting', problem, ...(digest && { digest }) }, afterMs * (0.5 + random()));
  };

  const isWanted = async ({ nodeSelector }: PrefetchEntry, signal: AbortSignal): Promise<boolean> => {
    const wanted = Object.entries(nodeSelector);
    if (wanted.length === 0) return true;
    const labels = (await world.labels?.(signal)) ?? {};
    return wanted.every(([key, value]) => labels[key] === value);
  };

  const unwanted = (item: PrefetchItem): string | undefined => {
    const key = keyOf(item.entry);
    const isListed = list.entries()?.some(other => keyOf(other) === key) ?? true;
    return isListed ? findLateness(item) : 'it has left the list';
  };

  const othersDue = (item: PrefetchItem): readonly PrefetchItem[] =>
    items.filter(other => other !== item && other.dueAt <= now() && !other.isHeldBack);

  /** Pulls it, and pins what was found. */
  const take = async (
    item: PrefetchItem,
    pullPolicy: PullPolicy,
    onProgress: (progress: Progress) => void,
    signal: AbortSignal,
  ): Promise<Digest> => {
    const { artifact, keep, resource } = item.entry;
    const request = {
      ...artifact,
      pullPolicy,
      secrets: (await resource?.secrets(signal)) ?? {},
      caller: 'prefetch',
      ...(resource?.namespace === undefined ? {} : { namespace: resource.namespace }),
    } as const;
    using pulled = await pull.pull(request, onProgress, signal);
    const { digest } = pulled.resolution.descriptor;
    const reference = formatReference(pulled.reference);
    item.found = { reference, digest, holds: pulled.holds };
    if (keep) await pins.add(item.found, kept());
    item.failures = 0;
    item.turns = 0;
    if (item.status.digest !== digest) log.info(`${reference} is in the cache, as ${digest}`);
    return digest;
  };

  const bring = async (
    item: PrefetchItem,
    report: (progress: Progress) => void,
    signal: AbortSignal,
  ): Promise<void> => {
    const onProgress = (progress: Progress): void => {
      ({ bytes: item.bytes, totalBytes: item.totalBytes } = progress);
      report(progress);
    };
    const { intervalMs, resource } = item.entry;
    const again = intervalMs === undefined ? undefined : intervalMs * (0.9 + 0.2 * random());
    if (!(await isWanted(item.entry, signal)))
      return settle(item, { state: 'elsewhere' }, again ?? longestRetryMs);
    if (item.isPinned === true) {
      item.isPinned = false;
      const digest = await take(item, 'Never', onProgress, signal).catch(() => signal.throwIfAborted());
      if (digest) return settle(item, { state: 'ready', digest }, intervalMs === undefined ? undefined : 0);
    }
    const late = findLateness(item);
    if (late !== undefined) return settle(item, { state: 'failed', problem: late });
    const pressure = resource && (await world.pressure());
    if (pressure !== undefined) return hold(item, `for room in the cache: ${pressure}`, noRoomMs);
    using turn = resource?.turn();
    item.isHeldBack = resource !== undefined && turn === undefined;
    if (item.isHeldBack)
      return hold(item, 'until fewer nodes pull it than maxParallelNodes says', heldBackMs);
    const { problem, ...before } = item.status;
    const failed = before.state === 'failed' && problem !== undefined ? { problem } : {};
    item.status = { ...before, ...failed, state: 'pulling' };
    const digest = await take(item, intervalMs === undefined ? 'IfNotPresent' : 'Always', onProgress, signal);
    settle(item, { state: 'ready', digest }, again);
  };

  const giveWay = (item: PrefetchItem): void => {
    const { digest } = item.status;
    item.turns++;
    settle(item, { state: 'waiting', ...(digest && { digest }) }, 0);
  };

  const fail = (item: PrefetchItem, thrown: unknown): void => {
    const { reference, digest, problem: before } = item.status;
    const { message } = toArtifactError(thrown);
    const problem = message.includes(reference) ? message : `${reference}: ${message}`;
    if (problem !== before) log.warn(`a prefetch failed: ${problem}`);
    const longest = Math.min(longestRetryMs, firstRetryMs * 2 ** item.failures++);
    settle(item, { state: 'failed', problem, ...(digest && { digest }) }, longest * (0.5 + 0.5 * random()));
  };

  /** It is followed again from time to time, and a full disk must not keep a daemon from starting. */
  const follow = async (): Promise<void> => {
    try {
      const entries = list.entries();
      if (entries === undefined) return;
      adopt(entries);
      if (list.isPartial?.() !== true) await comparePins();
    } catch (thrown) {
      log.warn(`the list of --prefetch cannot be followed: ${toArtifactError(thrown).message}`);
    }
  };

  /** Works on an item that is due. Answers how long to wait before the next step. */
  const step = async (signal: AbortSignal): Promise<number> => {
    const from = now();
    const next = order.choose(items.filter(({ dueAt }) => dueAt <= from));
    if (next === undefined) return items.reduce((ms, { dueAt }) => Math.min(ms, dueAt - from), 1_000);
    const isOtherDue = (): boolean => othersDue(next).some(other => givesWay(next, other));
    try {
      const outcome = await inTurn(
        (onProgress, turn) => bring(next, onProgress, turn),
        { turns: next.turns, unwanted: () => unwanted(next), isOtherDue },
        signal,
        now,
      );
      if (outcome === 'over') giveWay(next);
    } catch (thrown) {
      if (!signal.aborted) fail(next, thrown);
    } finally {
      order.count(next, othersDue(next), from, now());
    }
    return 0;
  };

  const repeat = async (work: () => Promise<number>, signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      await sleep(await work(), signal);
    }
  };

  return {
    follow,
    /** The list is followed while an artifact is pulled, which may take hours. */
    async run(signal) {
      const followOn = (): Promise<number> => follow().then(() => lookMs);
      await Promise.all([repeat(followOn, signal), repeat(() => step(signal), signal)]);
    },
    status: () => items.map(({ status }) => status),
    rows: () => items,
  };
}
