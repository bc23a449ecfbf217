import type { Digest } from '../../oci/digest.ts';
import type { ViewRecord } from '../../ports/store.ts';
import type { SettledLayer, SettledPlan } from './trees.ts';
import type { ViewPlan } from './view-plan.ts';

/** Returns the record of a view, with its measured tree and what it does not show. */
export function toViewRecord(
  { key, selection, selected, reference }: ViewPlan,
  { layers }: SettledPlan,
  measured: Pick<ViewRecord, 'bytes' | 'inodes'>,
  notes: readonly string[],
): ViewRecord {
  const { manifest, digest } = selected;
  const digests = (treated: SettledLayer['form']): readonly Digest[] =>
    layers.filter(layer => layer.form === treated).map(layer => layer.descriptor.digest);
  return {
    key,
    manifest: digest,
    reference,
    ...(manifest.artifactType === undefined ? {} : { artifactType: manifest.artifactType }),
    blobs: [...new Set(digests('file'))],
    layers: [...new Set(digests('unpacked'))],
    ...measured,
    selection,
    ...(notes.length === 0 ? {} : { notes: cut(notes) }),
  };
}

/** Notes kept in the record of a view; the log has all of them. */
const maxNotes = 16;

function cut(notes: readonly string[]): readonly string[] {
  if (notes.length <= maxNotes) return notes;
  return [...notes.slice(0, maxNotes), `and ${notes.length - maxNotes} more, in the log`];
}
