import type { KubeObjects } from '../ports/kube-objects.ts';
import type { OriginCounts, OriginGate } from '../ports/origin.ts';
import { abortable } from '../util/abortable.ts';
import { formatTime, type Pause, Paused } from '../util/pause.ts';
import { printable } from '../util/printable.ts';
import { sleep } from '../util/sleep.ts';
import {
  type OriginPlace,
  openOriginSlots,
  type SlotClock,
  type SlotSettings,
  type SlotTimes,
  usualSlotTimes,
} from './origin-slots.ts';

export type NodeOriginGate = OriginGate &
  AsyncDisposable & {
    counts(): OriginCounts;
    /** What this node waits for, and why slots cannot be taken, one line each. */
    notes(): readonly string[];
  };

/** Milliseconds. */
export type GateTimes = SlotTimes & {
  /** How long a pull waits for the first answer about a slot. */
  readonly firstMs: number;
  /** How long the Kubernetes API may fail before blobs are taken without slots. */
  readonly failingMs: number;
};

const usualTimes: GateTimes = { ...usualSlotTimes, firstMs: 3_000, failingMs: 30_000 };
const clockOfNode: SlotClock = { now: () => performance.now(), random: Math.random };

/** Holders that are named, and the characters of each. */
const mostNamed = 8;
const longestName = 64;

/**
 * Lets a node take blobs from a registry while it has one of its slots. A node that has none asks mirrors meanwhile, and
 * takes the blobs from the registry when `patienceMs` have passed. If the Kubernetes API fails, it does so after half a
 * minute, and at once if the API does not allow it to take slots.
 */
export function openOriginGate(
  objects: KubeObjects,
  settings: SlotSettings & { readonly patienceMs: number },
  times: GateTimes = usualTimes,
  clock: SlotClock = clockOfNode,
): NodeOriginGate {
  const { slots: count, patienceMs } = settings;
  const { now } = clock;
  const slots = openOriginSlots(objects, settings, times, clock);

  const isHeld = ({ held }: OriginPlace): boolean => held?.isHeld() === true;
  const isFailing = (): boolean => {
    const trouble = slots.trouble();
    return trouble !== undefined && (trouble.isDenied || now() - trouble.since >= times.failingMs);
  };
  const mayEnter = (place: OriginPlace): boolean =>
    isHeld(place) || isFailing() || now() - place.lacksSince >= patienceMs;

  const toPause = ({ host, holders, lacksSince }: OriginPlace): Pause => {
    const until = Date.now() + lacksSince + patienceMs - now();
    const names = [...new Set(holders.values())].map(name => printable(name).slice(0, longestName));
    const by = names.length === 0 ? '' : ` (held by ${names.slice(0, mostNamed).join(', ')})`;
    const what = count === 1 ? 'the slot' : `one of ${count} slots`;
    return { until, reason: `this node waits for ${what} of ${host}${by} until ${formatTime(until)}` };
  };

  const answered = async ({ first }: OriginPlace, signal: AbortSignal): Promise<void> => {
    const enough = new AbortController();
    try {
      const late = sleep(times.firstMs, AbortSignal.any([signal, enough.signal]));
      await abortable(Promise.race([first.promise, late]), signal);
    } finally {
      enough.abort();
    }
  };

  const waiting = (): readonly OriginPlace[] => slots.places().filter(place => !mayEnter(place));

  return {
    async enter(host, signal) {
      const place = slots.want(host);
      if (!mayEnter(place)) await answered(place, signal);
      if (!mayEnter(place)) {
        const pause = toPause(place);
        const why = slots.trouble()?.why;
        throw new Paused(pause, why === undefined ? pause.reason : `${pause.reason}; ${why}`);
      }
      place.users++;
      place.wantedAt = -Infinity;
      return {
        [Symbol.dispose]() {
          place.users--;
          place.idleAt = now() + times.idleMs;
        },
      };
    },
    counts() {
      const all = slots.places();
      const held = all.filter(isHeld).length;
      const waits = waiting().length;
      return { held, waiting: waits, without: all.length - held - waits };
    },
    notes() {
      const problem = slots.problem();
      return [
        ...waiting().map(place => toPause(place).reason),
        ...(problem === undefined ? [] : [`the slots of --origin-slots cannot be taken: ${problem}`]),
      ];
    },
    [Symbol.asyncDispose]: () => slots[Symbol.asyncDispose](),
  };
}
