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

/**
 * Events that wait. Namespaces take turns, and of each the oldest comes first. Each repetition joins the event that
 * waits already.
 */
export type EventQueue = {
  add(event: VolumeEvent, now: number): void;
  /** Removes and returns the next one; undefined if none waits. */
  take(): WaitingEvent | undefined;
  /** Adds an event that could not be sent. Repetitions that came meanwhile join it. */
  giveBack(item: WaitingEvent): void;
};

/** @param most above it, the oldest event of the namespace with the most is dropped for a new one. */
export function createEventQueue(most: number, count: (outcome: EventOutcome) => void): EventQueue {
  /** By namespace and name. Namespaces are in the order of their turns. */
  const waiting = new Map<string, Map<string, WaitingEvent>>();
  let length = 0;

  const eventsOf = ({ event }: WaitingEvent): Map<string, WaitingEvent> => {
    const { namespace } = event.pod;
    const events = waiting.get(namespace) ?? new Map<string, WaitingEvent>();
    waiting.set(namespace, events);
    return events;
  };

  const merge = (earlier: WaitingEvent, later: WaitingEvent): void => {
    count('merged');
    const times = earlier.times + later.times;
    eventsOf(later).set(later.name, { ...later, firstAt: earlier.firstAt, times });
  };

  const takeOf = (namespace: string): WaitingEvent | undefined => {
    const events = waiting.get(namespace);
    const [oldest] = events?.values() ?? [];
    if (events === undefined || oldest === undefined) return undefined;
    events.delete(oldest.name);
    length--;
    if (events.size === 0) waiting.delete(namespace);
    return oldest;
  };

  const append = (item: WaitingEvent): void => {
    eventsOf(item).set(item.name, item);
    if (++length <= most) return;
    const [fullest] = [...waiting].reduce((a, b) => (b[1].size > a[1].size ? b : a));
    takeOf(fullest);
    count('dropped');
  };

  return {
    add(event, now) {
      const item = { name: eventName(event), event, firstAt: now, lastAt: now, times: 1 };
      const earlier = waiting.get(event.pod.namespace)?.get(item.name);
      if (earlier === undefined) append(item);
      else merge(earlier, item);
    },
    take() {
      const [namespace] = waiting.keys();
      if (namespace === undefined) return undefined;
      const item = takeOf(namespace);
      const rest = waiting.get(namespace);
      waiting.delete(namespace);
      if (rest !== undefined) waiting.set(namespace, rest);
      return item;
    },
    giveBack(item) {
      const later = waiting.get(item.event.pod.namespace)?.get(item.name);
      if (later === undefined) append(item);
      else merge(item, later);
    },
  };
}
