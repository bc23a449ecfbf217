import type { EventOutcome, VolumeEvents } from '../ports/events.ts';
import { findCluster } from './cluster.ts';
import { openEventApi } from './event-api.ts';
import { openEventSender } from './event-sender.ts';

/**
 * Sends events of pods to the API of the cluster. The API is asked only when there is one.
 *
 * @param host the name of this node.
 *
 * @throws ArtifactError `invalid` if there is no cluster.
 */
export async function openEvents(
  host: string,
  count: (outcome: EventOutcome) => void,
  warn: (text: string) => void,
): Promise<VolumeEvents & AsyncDisposable> {
  return openEventSender({ api: openEventApi(await findCluster('--events')), host, count, warn });
}
