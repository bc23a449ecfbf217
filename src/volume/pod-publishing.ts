import type { VolumeEvents } from '../ports/events.ts';
import type { Publishing } from '../ports/publishing.ts';
import { answerEarly } from './early-answer.ts';
import { createPublishReports } from './events/publish-reports.ts';
import { createPublishing } from './publish.ts';

/** When the first call for a volume is answered although the pull continues, ms. */
const firstAnswerMs = 20_000;

/**
 * Publishes volumes, and shows the owners of pods what happens: by events, or without them by an early first answer,
 * which kubelet makes an event of.
 */
export function createPodPublishing(
  world: Omit<Parameters<typeof createPublishing>[0], 'reports'>,
  events: VolumeEvents | undefined,
): Publishing {
  if (events === undefined) return answerEarly(createPublishing(world), firstAnswerMs);
  return createPublishing({ ...world, reports: createPublishReports(events) });
}
