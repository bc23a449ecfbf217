import { hash } from 'node:crypto';
import type { LeaseObjects } from '../ports/kube-objects.ts';
import type { OriginCounts, OriginGate } from '../ports/origin.ts';
import type { SlotPlace, SlotTimes } from '../ports/slots.ts';
import { abortable } from '../util/abortable.ts';
import { formatTime, type Pause, Paused } from '../util/pause.ts';
import { printable } from '../util/printable.ts';
import { createRequestPace } from '../util/request-pace.ts';
import { sleep } from '../util/sleep.ts';
import { createArrivals } from './origin-arrivals.ts';
import { clockOfNode, openSlots, type SlotClock } from './slots.ts';

export type NodeOriginGate = OriginGate &
  AsyncDisposable & {
    counts(): OriginCounts;
    /** What this node waits for, and why slots cannot be taken, one line each. */
    notes(): readonly string[];
  };

export type GateSettings = {
  readonly namespace: () => string;
  readonly nodeId: string;
  /** For each registry. */
  readonly slots: number;
  readonly patienceMs: number;
};

/** Those who wait for blobs wait for little else. */
const times: SlotTimes = { seekMs: 10_000, longestSeekMs: 10_000, idleMs: 2_000, stepMs: 100 };
/** How long a pull waits for the first answer about a slot, ms. */
const firstMs = 3_000;
/** How long the Kubernetes API may fail before blobs are taken without slots, ms. */
const failingMs = 30_000;
/** Between the requests of a node on average, and those that it may have at once. */
const requestPace = { everyMs: 5_000, burst: 7 };

/** Holders that are named, and the characters of each. */
const mostNamed = 8;
const longestName = 64;

/**
 * Lets a node take blobs from a registry while it has one of its slots. A node that has none asks mirrors meanwhile, and
 * takes the blobs of a repository from the registry when it has waited for `patienceMs`, and mirrors have sent nothing of
 * the repository in that time: while they send, the time stands still. If the Kubernetes API fails, it does so after half
 * a minute, and at once if the API does not allow it to take slots.
 *
 * @param note is told of each new problem.
 */
export function openOriginGate(
  objects: LeaseObjects,
  { slots: count, patienceMs, ...node }: GateSettings,
  note: (problem: string) => void,
  clock: SlotClock = clockOfNode,
): NodeOriginGate {
  const { now } = clock;
  const pace = createRequestPace(requestPace, now);
  const toLine = (problem: string): string => `the slots of --origin-slots cannot be taken: ${problem}`;
  const slots = openSlots(objects, node, [nameOf, times, pace, problem => note(toLine(problem))], clock);

  const isFailing = (): boolean => {
    const trouble = slots.trouble();
    return trouble !== undefined && (trouble.isDenied || now() - trouble.since >= failingMs);
  };
  const arrivals = createArrivals(now);
  /** How long it must still wait. `path`: of a repository; without one, that of the registry which waits longest. */
  const leftMs = (place: SlotPlace, path?: string): number =>
    place.isHeld() || isFailing()
      ? 0
      : Math.max(0, place.lacksSince() + arrivals.lastedMs(place, path) + patienceMs - now());

  const toPause = (place: SlotPlace, path?: string): Pause => {
    const { key: host, holders } = place;
    const until = Date.now() + leftMs(place, path);
    const names = [...new Set(holders.values())].map(name => printable(name).slice(0, longestName));
    const by = names.length === 0 ? '' : ` (held by ${names.slice(0, mostNamed).join(', ')})`;
    const what = count === 1 ? 'the slot' : `one of ${count} slots`;
    return { until, reason: `this node waits for ${what} of ${host}${by} until ${formatTime(until)}` };
  };

  const answered = async ({ first }: SlotPlace, signal: AbortSignal): Promise<void> => {
    const enough = new AbortController();
    try {
      const late = sleep(firstMs, AbortSignal.any([signal, enough.signal]));
      await abortable(Promise.race([first, late]), signal);
    } finally {
      enough.abort();
    }
  };

  const waiting = (): readonly SlotPlace[] => slots.places().filter(place => leftMs(place) > 0);

  return {
    async enter({ host, path }, signal) {
      const place = slots.want(host, count);
      if (leftMs(place, path) > 0) await answered(place, signal);
      if (leftMs(place, path) > 0) {
        const pause = toPause(place, path);
        const why = slots.trouble()?.why;
        throw new Paused(pause, why === undefined ? pause.reason : `${pause.reason}; ${why}`);
      }
      return place.use();
    },
    came({ host, path }) {
      arrivals.note(slots.find(host), path);
    },
    counts() {
      const all = slots.places();
      const held = all.filter(place => place.isHeld()).length;
      const waits = waiting().length;
      return { held, waiting: waits, without: all.length - held - waits };
    },
    notes() {
      const problem = slots.problem();
      return [
        ...waiting().map(place => toPause(place).reason),
        ...(problem === undefined ? [] : [toLine(problem)]),
      ];
    },
    [Symbol.asyncDispose]: () => slots[Symbol.asyncDispose](),
  };
}

/** `origin-registry-example-com-5000-1f0c6b2a9d3e`: unique, and a name that an object may have. */
function nameOf(host: string): string {
  const words = host.toLowerCase().match(/[a-z0-9]+/g) ?? [];
  return `origin-${words.join('-').slice(0, 40)}-${hash('sha256', host).slice(0, 12)}`;
}
