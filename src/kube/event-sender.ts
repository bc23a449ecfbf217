import { setTimeout as sleep } from 'node:timers/promises';
import type { EventOutcome, VolumeEvents } from '../ports/events.ts';
import type { EventAnswer, EventApi } from './event-api.ts';
import { createEventDelivery } from './event-delivery.ts';
import { createEventQueue, type WaitingEvent } from './event-queue.ts';
import { createEventRefusals } from './event-refusals.ts';

/** Limits of the sender; times in milliseconds. */
export type SenderLimits = {
  /** Between the beginnings of two requests: ten a second. */
  readonly spacingMs: number;
  /** Events that wait; more push out the oldest. */
  readonly maxWaiting: number;
  /** The first wait after a failure, which doubles with each, and the longest. */
  readonly backOffMs: readonly [first: number, longest: number];
  /** How long nothing is sent to a namespace that refused an event. */
  readonly refusalMs: number;
  /** How long an event may wait; the API itself keeps it for an hour. */
  readonly longestWaitMs: number;
};

const standard: SenderLimits = {
  spacingMs: 100,
  maxWaiting: 1_000,
  backOffMs: [1_000, 60_000],
  refusalMs: 5 * 60_000,
  longestWaitMs: 60 * 60_000,
};

/** How often the log has a line about failures, ms. */
const warnEveryMs = 5 * 60_000;
/** The longest Retry-After that is obeyed, ms. */
const longestRetryAfter = 10 * 60_000;

/**
 * Sends events of pods, one request after the other and at most ten a second. Nobody waits for it: what the API does
 * not take in time is merged with repetitions of the same event, or dropped above a bound. After a failure it waits
 * longer each time, and sends the event again.
 */
export function openEventSender(
  world: {
    readonly api: EventApi;
    /** The name of this node. */
    readonly host: string;
    readonly count: (outcome: EventOutcome) => void;
    readonly warn: (text: string) => void;
  },
  limits: SenderLimits = standard,
): VolumeEvents & AsyncDisposable {
  const { count, warn } = world;
  const closing = new AbortController();
  const { signal } = closing;
  const queue = createEventQueue(limits.maxWaiting, count);
  const refusals = createEventRefusals(limits.refusalMs, warn);
  const deliver = createEventDelivery(world.api, world.host);
  let isWorking = false;
  let work = Promise.resolve();
  let readyAt = 0;
  let failures = 0;
  let warnedAt = Number.NEGATIVE_INFINITY;

  /** Waits until the next request may begin. */
  const turn = async (): Promise<void> => {
    const wait = readyAt - performance.now();
    if (wait > 0) await sleep(wait, undefined, { signal, ref: false });
    readyAt = performance.now() + limits.spacingMs;
  };

  const backOff = (waitMs: number): void => {
    const [first, longest] = limits.backOffMs;
    const wait = Math.max(Math.min(first * 2 ** failures, longest), Math.min(waitMs, longestRetryAfter));
    readyAt = performance.now() + wait;
    failures++;
  };

  const warnSometimes = (text: string): void => {
    if (performance.now() - warnedAt < warnEveryMs) return;
    warnedAt = performance.now();
    warn(text);
  };

  const settle = (item: WaitingEvent, answer: EventAnswer): void => {
    const { namespace, name } = item.event.pod;
    if (answer.kind !== 'failed') failures = 0;
    switch (answer.kind) {
      case 'done':
        refusals.end(namespace);
        return count('sent');
      case 'refused':
        refusals.note(namespace, answer.why);
        return count('refused');
      case 'failed':
        queue.giveBack(item);
        backOff(answer.waitMs);
        return warnSometimes(
          `events of pods wait, because ${answer.why}; they are sent later, and volumes are not affected`,
        );
      case 'invalid':
        warnSometimes(`an event of the pod ${namespace}/${name} is not sent: ${answer.why}`);
        return count('dropped');
      case 'exists':
      case 'absent':
        return count('dropped'); // its namespace is gone, or it has just expired
      default:
        answer satisfies never;
    }
  };

  const sendAll = async (): Promise<void> => {
    for (let item = queue.take(); item !== undefined; item = queue.take()) {
      if (Date.now() - item.lastAt > limits.longestWaitMs) {
        count('dropped');
        continue;
      }
      const answer = await deliver(item, turn, signal);
      if (signal.aborted) return;
      settle(item, answer);
    }
    isWorking = false;
  };

  return {
    send(event) {
      if (refusals.has(event.pod.namespace)) return count('refused');
      queue.add(event, Date.now());
      if (isWorking) return;
      isWorking = true;
      work = sendAll().catch(() => {}); // it was closed while it waited
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      await work;
    },
  };
}
