import { maxTypeLength } from '../../oci/manifest.ts';
import type { Selection } from '../../ports/request.ts';
import type { ViewRecord } from '../../ports/store.ts';
import { errnoOf } from '../../util/error.ts';
import { unlessAbsent } from '../files/absent.ts';
import {
  isAbsentOr,
  isCount,
  isCountList,
  isDigestList,
  isDigestText,
  isFlag,
  isOneOf,
  isShaped,
  isText,
  isTextList,
  parseFields,
  readHere,
} from '../files/json-record.ts';
import type { RecordWarning } from '../records/records.ts';

const isSelection = isShaped<Selection>({
  unpack: isOneOf('auto', 'never', 'always'),
  include: isTextList,
  exclude: isTextList,
  subPath: isAbsentOr(isText),
});
const isView = isShaped<ViewRecord>({
  key: isText,
  manifest: isDigestText,
  reference: isText,
  artifactType: isAbsentOr(isText),
  blobs: isDigestList,
  layers: isDigestList,
  bytes: isCount,
  inodes: isCount,
  selection: isAbsentOr(isSelection),
  notes: isAbsentOr(isTextList),
  damage: isAbsentOr(isText),
  imageDigest: isAbsentOr(isDigestText),
  deviceInodes: isAbsentOr(isCountList),
  late: isAbsentOr(isFlag),
});

/**
 * Returns the record at a path and when it was last used; undefined if it is absent, torn, foreign, or another view's.
 * One that cannot be read is noted.
 */
export async function readView(
  path: string,
  key: string,
  note: RecordWarning,
): Promise<(ViewRecord & { usedAt: number }) | undefined> {
  const read = await unlessAbsent(readHere(path)).catch((thrown: unknown) => {
    note(`${path}, the record of a view, cannot be read (${errnoOf(thrown)}) and is skipped`);
    return undefined;
  });
  if (read === undefined) return undefined;
  const { text, time: usedAt } = read;
  const record = parseFields(text);
  if (!isView(record) || record.key !== key) return undefined;
  const { artifactType, ...same } = record;
  // An older version wrote types of any length, and all records are listed at once.
  const isShown = artifactType !== undefined && artifactType.length <= maxTypeLength;
  return { ...same, ...(isShown && { artifactType }), usedAt };
}
