import { maxTypeLength } from '../../oci/manifest.ts';
import type { Selection } from '../../ports/request.ts';
import type { ViewRecord } from '../../ports/store.ts';
import {
  isAbsentOr,
  isCount,
  isDigestList,
  isDigestText,
  isOneOf,
  isShaped,
  isText,
  isTextList,
  parseFields,
  readHere,
} from '../files/json-record.ts';

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
});

/** Returns the record at a path and when it was last used; undefined if it is torn, foreign, or another view's. */
export async function readView(
  path: string,
  key: string,
): Promise<(ViewRecord & { usedAt: number }) | undefined> {
  const { text, time: usedAt } = await readHere(path);
  const record = parseFields(text);
  if (!isView(record) || record.key !== key) return undefined;
  const { artifactType, ...same } = record;
  // An older version wrote types of any length, and all records are listed at once.
  const isShown = artifactType !== undefined && artifactType.length <= maxTypeLength;
  return { ...same, ...(isShown && { artifactType }), usedAt };
}
