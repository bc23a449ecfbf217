import { formatReference } from '../oci/reference.ts';
import type { NodeLabels, PrefetchEntry, PrefetchList, PrefetchStatus } from '../ports/prefetch.ts';
import type { Pins } from '../ports/records.ts';
import type { Expander } from '../ports/registry.ts';
import type { Progress } from '../ports/usecases.ts';
import { ArtifactError, toArtifactError } from '../util/error.ts';
import { sleep } from '../util/sleep.ts';
import { createPrefetchPins, type FoundContent } from './prefetch-pins.ts';
import type { Naming } from './pull/naming.ts';
import type { Pull } from './pull/pull.ts';

/** Keeps the artifacts of a list in the cache. It pulls one at a time, with the node's own credentials. */
export type Prefetch = {
  /** Takes over the present list, and ends the pins of entries that it no longer keeps. */
  follow(): Promise<void>;
  /** Follows the list until the signal aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
  status(): readonly PrefetchStatus[];
};

/** How often the list is read again. */
const lookMs = 5_000;
/**
 * All nodes of a cluster get a new list at about the same time. Each starts after a random part of this time, or of a
 * twentieth of the interval if that is shorter.
 */
const spreadMs = 30_000;
const firstRetryMs = 10_000;
const longestRetryMs = 10 * 60_000;
/** How long an entry may wait for its registry before the others get their turn. */
const patienceMs = 10_000;
/**
 * How long an entry may work while others are due; twice as long in each further turn, because a registry without
 * ranges starts again. What came is kept.
 */
const turnMs = 60_000;

/** How a turn ended that did not fail. `over`: others are due, and the item comes again after them. */
type Outcome = 'done' | 'over';

type Item = {
  readonly entry: PrefetchEntry;
  status: PrefetchStatus;
  /** What its last pull found. */
  found?: FoundContent;
  dueAt: number;
  failures: number;
  /** Turns that ended before the work did, because others were due. */
  turns: number;
};

/** @param random from 0 to 1. */
export function createPrefetch(
  world: {
    readonly list: PrefetchList;
    /** Undefined while the Kubernetes API is off. */
    readonly labels: NodeLabels | undefined;
    readonly pull: Pick<Pull, 'pull'>;
    readonly naming: Pick<Naming, 'keep' | 'unpin'>;
    readonly pins: Pick<Pins, 'list'>;
    readonly expander: Expander;
    readonly log: { info(text: string): void; warn(text: string): void };
  },
  random: () => number = Math.random,
): Prefetch {
  const { list, pull, log } = world;
  const pins = createPrefetchPins(world);
  let items: readonly Item[] = [];

  /** Takes over the state of entries that are still listed. */
  const adopt = (entries: readonly PrefetchEntry[]): void => {
    const before = new Map(items.map(item => [keyOf(item.entry), item]));
    items = entries.map(entry => {
      const known = before.get(keyOf(entry));
      if (known !== undefined) return known;
      const dueAt = Date.now() + random() * Math.min(spreadMs, (entry.intervalMs ?? Infinity) / 20);
      const status = { reference: entry.artifact.reference, state: 'waiting', nextAt: dueAt } as const;
      return { entry, status, dueAt, failures: 0, turns: 0 };
    });
  };

  const kept = (): readonly Item[] =>
    items.filter(({ entry, status }) => entry.keep && status.state !== 'elsewhere');

  /** An entry that has lost its pin is due again. */
  const comparePins = async (): Promise<void> => {
    for (const item of await pins.compare(kept())) if (item.status.state === 'ready') item.dueAt = 0;
  };

  const settle = (
    item: Item,
    status: Omit<PrefetchStatus, 'reference' | 'nextAt'>,
    afterMs?: number,
  ): void => {
    item.dueAt = afterMs === undefined ? Infinity : Date.now() + afterMs;
    const { reference } = item.entry.artifact;
    item.status = { reference, ...status, ...(afterMs === undefined ? {} : { nextAt: item.dueAt }) };
  };

  const isWanted = async ({ nodeSelector }: PrefetchEntry, signal: AbortSignal): Promise<boolean> => {
    const wanted = Object.entries(nodeSelector);
    if (wanted.length === 0) return true;
    const labels = (await world.labels?.(signal)) ?? {};
    return wanted.every(([key, value]) => labels[key] === value);
  };

  const isListed = ({ entry }: Item): boolean =>
    list.entries()?.some(other => keyOf(other) === keyOf(entry)) ?? true;

  const isOtherDue = (item: Item): boolean =>
    items.some(other => other !== item && other.dueAt <= Date.now());

  /** Ends the turn of an item that has left the list, is slow, or whose registry lets it wait. */
  const withTurn = async (
    item: Item,
    work: (onProgress: (progress: Progress) => void, signal: AbortSignal) => Promise<void>,
    signal: AbortSignal,
  ): Promise<Outcome> => {
    const turn = new AbortController();
    const endsAt = Date.now() + turnMs * 2 ** item.turns;
    const end = (why: string): void => turn.abort(new ArtifactError('unavailable', why));
    let wait: { readonly since: number; readonly why: string } | undefined;
    let isOver = false;
    using _look = setInterval(() => {
      if (!isListed(item)) end('it has left the list');
      else if (wait !== undefined && Date.now() - wait.since >= patienceMs) end(wait.why);
      else if (Date.now() >= endsAt && isOtherDue(item)) {
        isOver = true;
        end('others are due');
      }
    }, lookMs).unref();
    const onProgress = ({ waits }: Progress): void => {
      wait = waits === undefined ? undefined : { since: wait?.since ?? Date.now(), why: waits };
    };
    try {
      await work(onProgress, AbortSignal.any([signal, turn.signal]));
      return 'done';
    } catch (thrown) {
      if (isOver) return 'over';
      turn.signal.throwIfAborted();
      throw thrown;
    }
  };

  const bring = async (
    item: Item,
    onProgress: (progress: Progress) => void,
    signal: AbortSignal,
  ): Promise<void> => {
    const { artifact, keep, intervalMs } = item.entry;
    const again = intervalMs === undefined ? undefined : intervalMs * (0.9 + 0.2 * random());
    if (!(await isWanted(item.entry, signal)))
      return settle(item, { state: 'elsewhere' }, again ?? longestRetryMs);
    item.status = { ...item.status, state: 'pulling' };
    const request = {
      ...artifact,
      pullPolicy: intervalMs === undefined ? 'IfNotPresent' : 'Always',
      secrets: {},
      caller: 'prefetch',
    } as const;
    using pulled = await pull.pull(request, onProgress, signal);
    const { digest } = pulled.resolution.descriptor;
    const reference = formatReference(pulled.reference);
    item.found = { reference, digest, holds: pulled.holds };
    if (keep) await pins.add(item.found, kept());
    item.failures = 0;
    item.turns = 0;
    if (item.status.digest !== digest) log.info(`${reference} is in the cache, as ${digest}`);
    settle(item, { state: 'ready', digest }, again);
  };

  const giveWay = (item: Item): void => {
    const { digest } = item.status;
    item.turns++;
    settle(item, { state: 'waiting', ...(digest && { digest }) }, 0);
  };

  const fail = (item: Item, thrown: unknown): void => {
    const { reference, digest, problem: before } = item.status;
    const problem = toArtifactError(thrown).message;
    if (problem !== before) log.warn(`${reference} is not prefetched: ${problem}`);
    const longest = Math.min(longestRetryMs, firstRetryMs * 2 ** item.failures++);
    settle(item, { state: 'failed', problem, ...(digest && { digest }) }, longest * (0.5 + 0.5 * random()));
  };

  const follow = async (): Promise<void> => {
    const entries = list.entries();
    if (entries === undefined) return;
    adopt(entries);
    await comparePins();
  };

  /** Works on the item that has been due for longest. Answers how long to wait before the next step. */
  const step = async (signal: AbortSignal): Promise<number> => {
    const next = items.toSorted((a, b) => a.dueAt - b.dueAt)[0];
    const leftMs = (next?.dueAt ?? Infinity) - Date.now();
    if (next === undefined || leftMs > 0) return Math.min(leftMs, 1_000);
    try {
      const outcome = await withTurn(next, (onProgress, turn) => bring(next, onProgress, turn), signal);
      if (outcome === 'over') giveWay(next);
    } catch (thrown) {
      signal.throwIfAborted();
      fail(next, thrown);
    }
    return 0;
  };

  const repeat = async (work: () => Promise<number>, signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      const waitMs = await work().catch((thrown: unknown) => {
        if (!signal.aborted)
          log.warn(`the list of --prefetch cannot be followed: ${toArtifactError(thrown).message}`);
        return lookMs;
      });
      await sleep(waitMs, signal);
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
  };
}

function keyOf({ artifact, keep, intervalMs, nodeSelector }: PrefetchEntry): string {
  return JSON.stringify([artifact, keep, intervalMs, nodeSelector]);
}
