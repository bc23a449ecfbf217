import type { VolumeRecords } from '../../ports/records.ts';
import type { ContentReport } from '../events/damage-report.ts';
import type { LiveView } from './live-view.ts';

/** Returns what reports each volume once whose late view has shown content of a chunk list that lied. */
export function createLieReporter(
  {
    volumes,
    reportLie,
  }: { readonly volumes: Pick<VolumeRecords, 'listBrief'>; readonly reportLie: ContentReport },
  lives: ReadonlyMap<string, Pick<LiveView, 'lie'>>,
): () => Promise<void> {
  /** Target paths. */
  let reported: ReadonlySet<string> = new Set();
  return async () => {
    if (lives.values().every(live => live.lie() === undefined)) return;
    const records = await volumes.listBrief();
    const before = reported;
    const lying = records.flatMap(record => {
      const lie = lives.get(record.view)?.lie();
      return lie === undefined ? [] : [{ record, lie }];
    });
    reported = new Set(lying.map(({ record }) => record.targetPath));
    for (const { record, lie } of lying) if (!before.has(record.targetPath)) reportLie(record, lie);
  };
}
