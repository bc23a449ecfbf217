import { createHash } from 'node:crypto';
import type { VolumeEvent } from '../ports/events.ts';
import { shorten } from '../util/name.ts';

/** The component that `kubectl describe pod` shows as the source of an event. */
const component = 'oci-artifact-csi';

/** Characters of a message: as many as the API takes in each of its two forms of events. */
const longestMessage = 1024;
/** A name has 253 characters at most. */
const longestPodName = 200;

/** What repetitions of an event change. Times are in milliseconds since 1970. */
export type Occurrence = { readonly message: string; readonly lastAt: number };

/** A core/v1 Event, the form that kubelet uses. */
export type EventObject = {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly count: number;
  readonly [field: string]: unknown;
};

/**
 * The name of an event object: the same for each repetition, also by another process of this daemon, so that a restart
 * adds no second event.
 */
export function eventName({ pod, targetPath, reason, kind }: VolumeEvent): string {
  const identity = JSON.stringify([pod.uid, targetPath, reason, kind]);
  const digest = createHash('sha256').update(identity).digest('hex').slice(0, 16);
  return `${pod.name.slice(0, longestPodName).replace(/[^a-z0-9]+$/, '')}.${digest}`;
}

export function toEventObject(
  event: VolumeEvent,
  occurrence: Occurrence & { readonly firstAt: number; readonly count: number },
  host: string,
): EventObject {
  const { namespace, name, uid } = event.pod;
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: eventName(event), namespace },
    involvedObject: { apiVersion: 'v1', kind: 'Pod', namespace, name, uid },
    type: event.type,
    reason: event.reason,
    source: { component, host },
    reportingComponent: component,
    reportingInstance: host,
    firstTimestamp: formatTimestamp(occurrence.firstAt),
    ...toEventPatch(occurrence, occurrence.count),
    count: occurrence.count,
  };
}

/** A merge patch for a repeated event. `count` undefined: it stays, because it is not known. */
export function toEventPatch({ message, lastAt }: Occurrence, count: number | undefined): object {
  return {
    message: shorten(message, longestMessage).toWellFormed(),
    lastTimestamp: formatTimestamp(lastAt),
    ...(count === undefined ? {} : { count }),
  };
}

/** The API stores seconds. */
function formatTimestamp(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
}
