import type { EventOutcome, VolumeEvents } from '../ports/events.ts';
import type { Cluster } from './cluster.ts';
import { openEventApi } from './event-api.ts';
import { openEventSender } from './event-sender.ts';

/**
 * Sends events of pods to the API of the cluster. The API is asked only when there is one.
 *
 * @param host the name of this node.
 */
export function openEvents(
  cluster: Cluster,
  host: string,
  count: (outcome: EventOutcome) => void,
  warn: (text: string) => void,
): VolumeEvents & AsyncDisposable {
  return openEventSender({ api: openEventApi(cluster), host, count, warn });
}
