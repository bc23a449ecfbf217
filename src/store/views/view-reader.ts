import type { View, ViewRecord } from '../../ports/store.ts';
import { ArtifactError } from '../../util/error.ts';
import { toUnreadable } from '../integrity/damage.ts';
import type { RecordWarning } from '../records/records.ts';
import { type ImageSources, isWhole, toView } from './view-image.ts';
import type { ViewPlaces } from './view-places.ts';
import { readView } from './view-record.ts';

/**
 * What the disk has of views. What it has and does not give, for an I/O error, counts as absent, with a log message: one
 * such view must not keep the others from being listed, collected and removed.
 */
export type ViewReader = {
  /** Where a view is; undefined if there is none. */
  place(key: string): string | undefined;
  record(key: string): ReturnType<typeof readView>;
  /** The view of a record; undefined for an image that lacks a file. */
  view(record: ViewRecord & { readonly usedAt: number }, path: string): View | undefined;
  isWhole(view: View): boolean;
};

export function openViewReader(places: ViewPlaces, sources: ImageSources, note: RecordWarning): ViewReader {
  const read = <T>(key: string, look: () => T): T | undefined => {
    try {
      return look();
    } catch (thrown) {
      if (thrown instanceof ArtifactError) throw thrown; // it is none of the disk
      note(`the view ${key} ${toUnreadable(thrown)} and counts as absent`);
      return undefined;
    }
  };
  return {
    place: key => read(key, () => places.find(key)),
    record: key => readView(places.record(key), key, note),
    view: (record, path) => read(record.key, () => toView(record, path, sources)),
    isWhole: view => read(view.key, () => isWhole(view)) === true,
  };
}
