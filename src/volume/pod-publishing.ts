import type { VolumeEvents } from '../ports/events.ts';
import type { PodPublishing } from '../ports/publishing.ts';
import { answerEarly } from './early-answer.ts';
import { createPublishReports } from './events/publish-reports.ts';
import type { FailingVolumes } from './failing-volumes.ts';
import { createPublishing } from './publish.ts';

/** When the first call for a volume is answered although the pull continues, ms. */
const firstAnswerMs = 20_000;

/**
 * Publishes volumes, and shows what happens: to the owners of pods by events, or without them by an early first answer,
 * which kubelet makes an event of; to administrators by the list of volumes that fail.
 */
export function createPodPublishing(
  world: Omit<Parameters<typeof createPublishing>[0], 'reports'> & { readonly failing: FailingVolumes },
  events: VolumeEvents | undefined,
): PodPublishing {
  const publishing =
    events === undefined
      ? answerEarly(createPublishing(world), firstAnswerMs)
      : createPublishing({ ...world, reports: createPublishReports(events) });
  return { ...publishing, refused: world.failing.failed };
}
