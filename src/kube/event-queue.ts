import type { EventOutcome, VolumeEvent } from '../ports/events.ts';
import { eventName } from './event-object.ts';

/** An event that waits. Times are in milliseconds since 1970. */
export type WaitingEvent = {
  readonly name: string;
  /** The latest of its repetitions. */
  readonly event: VolumeEvent;
  readonly firstAt: number;
  readonly lastAt: number;
  /** How often it happened since it was sent last. */
  readonly times: number;
};

/** Events that wait, the oldest first. Each repetition joins the event that waits already. */
export type EventQueue = {
  add(event: VolumeEvent, now: number): void;
  /** Removes and returns the oldest; undefined if none waits. */
  take(): WaitingEvent | undefined;
  /** Adds an event that could not be sent. Repetitions that came meanwhile join it. */
  giveBack(item: WaitingEvent): void;
};

/** @param most above it, the oldest event is dropped for a new one. */
export function createEventQueue(most: number, count: (outcome: EventOutcome) => void): EventQueue {
  const waiting = new Map<string, WaitingEvent>();

  const merge = (earlier: WaitingEvent, later: WaitingEvent): void => {
    count('merged');
    waiting.set(later.name, { ...later, firstAt: earlier.firstAt, times: earlier.times + later.times });
  };

  const append = (item: WaitingEvent): void => {
    waiting.set(item.name, item);
    const [oldest] = waiting.keys();
    if (oldest === undefined || waiting.size <= most) return;
    waiting.delete(oldest);
    count('dropped');
  };

  return {
    add(event, now) {
      const item = { name: eventName(event), event, firstAt: now, lastAt: now, times: 1 };
      const earlier = waiting.get(item.name);
      if (earlier === undefined) append(item);
      else merge(earlier, item);
    },
    take() {
      const [oldest] = waiting.values();
      if (oldest !== undefined) waiting.delete(oldest.name);
      return oldest;
    },
    giveBack(item) {
      const later = waiting.get(item.name);
      if (later === undefined) append(item);
      else merge(item, later);
    },
  };
}
