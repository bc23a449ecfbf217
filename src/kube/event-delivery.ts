import { createRecall } from '../util/memo.ts';
import type { EventAnswer, EventApi } from './event-api.ts';
import { toEventObject, toEventPatch } from './event-object.ts';
import type { WaitingEvent } from './event-queue.ts';

/** Creates an event, or updates the one that the API has. `turn` is awaited before each request. */
export type EventDelivery = (
  item: WaitingEvent,
  turn: () => Promise<void>,
  signal: AbortSignal,
) => Promise<EventAnswer>;

/** Events whose counts are remembered. */
const maxCounts = 1_000;

/** @param host the name of this node. */
export function createEventDelivery(api: EventApi, host: string): EventDelivery {
  /** The counts of events that the API has, by name. */
  const counts = createRecall<string, number>(maxCounts);

  const request: EventDelivery = async (item, turn, signal) => {
    const { name, event, firstAt, lastAt, times } = item;
    const occurrence = { message: event.message, lastAt };
    const patch = async (count: number | undefined): Promise<EventAnswer> => {
      await turn();
      return api.patch(event.pod.namespace, name, toEventPatch(occurrence, count), signal);
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

  return async (item, turn, signal) => {
    const answer = await request(item, turn, signal);
    if (answer.kind === 'done') counts.keep(item.name, answer.count);
    return answer;
  };
}
