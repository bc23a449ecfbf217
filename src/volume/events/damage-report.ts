import type { VolumeEvents } from '../../ports/events.ts';
import type { Volume } from '../../ports/usecases.ts';
import { formatSubject } from './pull-story.ts';

/** Tells the owner of a pod what is wrong with the content of its volume, if the daemon sends events. */
export type ContentReport = (volume: Volume, what: string) => void;

/** Reports damaged content. */
export function createDamageReport(events: VolumeEvents | undefined): ContentReport {
  return createReport(
    events,
    'DamagedContent',
    (subject, damage) =>
      `Damaged content of ${subject}: ${damage}; delete the pod, and a new one gets the right bytes`,
  );
}

/** Reports a chunk list that lied. */
export function createLieReport(events: VolumeEvents | undefined): ContentReport {
  return createReport(
    events,
    'WrongChunkList',
    (subject, lie) => `What the pod has read of ${subject} may be wrong: ${lie}`,
  );
}

/** Reports that a read of what is not loaded yet failed. */
export function createFailedReadReport(events: VolumeEvents | undefined): ContentReport {
  return createReport(
    events,
    'NotLoaded',
    (subject, why) =>
      `Reading ${subject} failed: ${why}; what is not loaded yet is tried again, and a read that is repeated succeeds once it is here`,
  );
}

function createReport(
  events: VolumeEvents | undefined,
  reason: string,
  describe: (subject: string, what: string) => string,
): ContentReport {
  return ({ pod, targetPath, reference }, what) => {
    if (pod === undefined) return;
    const message = describe(formatSubject(reference, targetPath), what);
    events?.send({ pod, targetPath, type: 'Warning', reason, kind: '', message });
  };
}
