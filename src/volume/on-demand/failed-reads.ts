import type { VolumeRecords } from '../../ports/records.ts';
import { type ArtifactError, toArtifactError } from '../../util/error.ts';
import { createRecall } from '../../util/memo.ts';
import type { ContentReport } from '../events/damage-report.ts';

/** The reads of missing content that failed, of all late views. */
export type FailedReads = {
  /** Counts one of the view with this key, and reports it. `isRefused`: the pods are told something worse. */
  add(key: string, error: ArtifactError, isRefused: boolean): void;
  count(): number;
};

/** How often the owners of the pods of one view are told. A program that repeats its reads fails often. */
const everyMs = 60_000;
/** Far more views than the pods of one node show. */
const mostViews = 1_000;

export function createFailedReads(
  world: {
    readonly volumes: Pick<VolumeRecords, 'listBrief'>;
    readonly reportFailedRead: ContentReport;
    readonly warn: (text: string) => void;
  },
  now: () => number = () => performance.now(),
): FailedReads {
  /** When those of a view were reported last, by key. */
  const reported = createRecall<string, number>(mostViews);
  let count = 0;

  const report = async (key: string, why: string): Promise<void> => {
    const records = (await world.volumes.listBrief()).filter(({ view }) => view === key);
    const [first] = records;
    if (first !== undefined)
      world.warn(`${first.resolved}, which is loaded on demand: a read of what is missing failed: ${why}`);
    for (const record of records) world.reportFailedRead(record, why);
  };

  return {
    add(key, { message }, isRefused) {
      count++;
      if (isRefused || now() - (reported.get(key) ?? Number.NEGATIVE_INFINITY) < everyMs) return;
      reported.keep(key, now());
      report(key, message).catch((thrown: unknown) =>
        world.warn(`reads of what is missing fail, and no pod is told: ${toArtifactError(thrown).message}`),
      );
    },
    count: () => count,
  };
}
