import type { VolumeEvents } from '../../ports/events.ts';
import type { VolumeRecord } from '../../ports/records.ts';
import { formatSubject } from './pull-story.ts';

/** Tells the owner of a pod that its volume shows damaged content, if the daemon sends events. */
export function createDamageReport(
  events: VolumeEvents | undefined,
): (volume: VolumeRecord, damage: string) => void {
  return ({ pod, targetPath, reference }, damage) => {
    if (pod === undefined) return;
    const subject = formatSubject(reference, targetPath);
    events?.send({
      pod,
      targetPath,
      type: 'Warning',
      reason: 'DamagedContent',
      kind: '',
      message: `Damaged content of ${subject}: ${damage}; delete the pod, and a new one gets the right bytes`,
    });
  };
}
