import { setTimeout as sleep } from 'node:timers/promises';
import type { EventOutcome, VolumeEvent, VolumeEvents } from '../ports/events.ts';
import type { EventAnswer, EventApi } from './event-api.ts';
import { eventName, toEventObject, toEventPatch } from './event-object.ts';

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
/** Events, and namespaces that refused one, that are remembered. */
const maxRemembered = 1_000;

const advice =
  'bind the service account of this daemon to a ClusterRole with the rule {apiGroups: [""], resources: [events], verbs: [create, patch]}';

type Waiting = {
  readonly event: VolumeEvent;
  readonly firstAt: number;
  readonly lastAt: number;
  /** How often it happened since it was sent last. */
  readonly times: number;
};

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
  const { api, host, count, warn } = world;
  const closing = new AbortController();
  const { signal } = closing;
  /** By name, the oldest first. */
  const waiting = new Map<string, Waiting>();
  /** The counts of events that the API has, by name. */
  const counts = new Map<string, number>();
  /** Until when namespaces refuse events. */
  const refusals = new Map<string, number>();
  let isWorking = false;
  let work = Promise.resolve();
  let readyAt = 0;
  let failures = 0;
  let isRuleMissing = false;
  /** When the log had the last line about an answer, by its kind. */
  const warnedAt = new Map<EventAnswer['kind'], number>();

  const warnSometimes = ({ kind }: EventAnswer, text: string): void => {
    const now = performance.now();
    if (now - (warnedAt.get(kind) ?? Number.NEGATIVE_INFINITY) < warnEveryMs) return;
    warnedAt.set(kind, now);
    warn(text);
  };

  /** Waits until the next request may begin. */
  const turn = async (): Promise<void> => {
    const wait = readyAt - performance.now();
    if (wait > 0) await sleep(wait, undefined, { signal, ref: false });
    readyAt = performance.now() + limits.spacingMs;
  };

  const deliver = async (name: string, { event, firstAt, times, ...last }: Waiting): Promise<EventAnswer> => {
    const { namespace } = event.pod;
    const occurrence = { message: event.message, lastAt: last.lastAt };
    const patch = async (known: number | undefined): Promise<EventAnswer> => {
      await turn();
      return api.patch(namespace, name, toEventPatch(occurrence, known), signal);
    };
    const known = counts.get(name);
    const repeated = known === undefined ? undefined : await patch(known + times);
    if (repeated !== undefined && repeated.kind !== 'absent') return repeated;
    counts.delete(name); // the API keeps events for an hour
    await turn();
    const created = await api.create(
      toEventObject(event, { ...occurrence, firstAt, count: times }, host),
      signal,
    );
    // The daemon sent it before it was started again; the answer has its count.
    return created.kind === 'exists' ? patch(undefined) : created;
  };

  const queueAgain = (name: string, item: Waiting): void => {
    const newer = waiting.get(name);
    if (newer !== undefined) count('merged');
    waiting.set(
      name,
      newer === undefined ? item : { ...newer, firstAt: item.firstAt, times: item.times + newer.times },
    );
  };

  /** A missing rule is told once. A namespace that is being deleted refuses, too. */
  const tellRefusal = (namespace: string, answer: EventAnswer & { readonly kind: 'refused' }): void => {
    const { why } = answer;
    if (/\bcannot (?:create|patch) resource\b/.test(why)) {
      if (!isRuleMissing) warn(`events of pods are refused: ${advice}: ${why}`);
      isRuleMissing = true;
    } else if (!why.includes('is being terminated')) {
      warnSometimes(answer, `events of pods of the namespace ${namespace} are refused: ${why}`);
    }
  };

  const settle = (name: string, item: Waiting, answer: EventAnswer): void => {
    const { namespace } = item.event.pod;
    if (answer.kind !== 'failed') failures = 0;
    switch (answer.kind) {
      case 'done':
        count('sent');
        refusals.delete(namespace);
        isRuleMissing = false;
        remember(counts, name, answer.count);
        return;
      case 'refused':
        count('refused');
        tellRefusal(namespace, answer);
        remember(refusals, namespace, performance.now() + limits.refusalMs);
        return;
      case 'failed': {
        queueAgain(name, item);
        const [first, longest] = limits.backOffMs;
        const backOff = Math.min(first * 2 ** failures, longest);
        readyAt = performance.now() + Math.max(backOff, Math.min(answer.waitMs, longestRetryAfter));
        failures++;
        const what = 'they are sent later, and volumes are not affected';
        warnSometimes(answer, `events of pods wait, because ${answer.why}; ${what}`);
        return;
      }
      case 'invalid':
        count('dropped');
        warnSometimes(
          answer,
          `an event of the pod ${namespace}/${item.event.pod.name} is not sent: ${answer.why}`,
        );
        return;
      case 'exists':
      case 'absent':
        count('dropped'); // its namespace is gone, or it has just expired
        return;
      default:
        answer satisfies never;
    }
  };

  const sendAll = async (): Promise<void> => {
    for (;;) {
      const [next] = waiting;
      if (next === undefined || signal.aborted) break;
      const [name, item] = next;
      waiting.delete(name);
      if (Date.now() - item.lastAt > limits.longestWaitMs) {
        count('dropped');
        continue;
      }
      const answer = await deliver(name, item);
      if (!signal.aborted) settle(name, item, answer);
    }
    isWorking = false;
  };

  return {
    send(event) {
      const { namespace } = event.pod;
      if ((refusals.get(namespace) ?? 0) > performance.now()) return count('refused');
      const name = eventName(event);
      const now = Date.now();
      const before = waiting.get(name);
      const [oldest] = waiting.keys();
      if (before !== undefined) count('merged');
      else if (oldest !== undefined && waiting.size >= limits.maxWaiting) {
        waiting.delete(oldest);
        count('dropped');
      }
      const { firstAt, times } = before ?? { firstAt: now, times: 0 };
      waiting.set(name, { event, firstAt, lastAt: now, times: times + 1 });
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

function remember<T>(known: Map<string, T>, key: string, value: T): void {
  known.delete(key);
  known.set(key, value);
  const [oldest] = known.keys();
  if (oldest !== undefined && known.size > maxRemembered) known.delete(oldest);
}
