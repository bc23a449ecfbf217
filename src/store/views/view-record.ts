import { open } from 'node:fs/promises';
import type { Selection } from '../../ports/request.ts';
import type { ViewRecord } from '../../ports/store.ts';
import {
  type Fields,
  isAbsentOr,
  isCount,
  isDigestList,
  isDigestText,
  isFields,
  isText,
  isTextList,
  parseFields,
} from '../files/json-record.ts';

/** Returns the record of a sidecar's fields; undefined if it is torn, foreign, or another view's. */
function parseView(fields: Fields, key: string): ViewRecord | undefined {
  const {
    manifest,
    reference,
    artifactType,
    blobs,
    layers,
    bytes,
    inodes,
    selection,
    notes,
    damage,
    ...rest
  } = fields;
  if (rest['key'] !== key || !isDigestText(manifest) || !isText(reference)) return undefined;
  if (!isAbsentOr(isText, artifactType) || !isDigestList(blobs) || !isDigestList(layers)) return undefined;
  if (!isCount(bytes) || !isCount(inodes)) return undefined;
  if (!isAbsentOr(isSelection, selection) || !isAbsentOr(isTextList, notes) || !isAbsentOr(isText, damage))
    return undefined;
  return {
    ...rest,
    key,
    manifest,
    reference,
    ...(artifactType !== undefined && { artifactType }),
    blobs,
    layers,
    bytes,
    inodes,
    ...(selection !== undefined && { selection }),
    ...(notes !== undefined && { notes }),
    ...(damage !== undefined && { damage }),
  };
}

function isSelection(value: unknown): value is Selection {
  if (!isFields(value)) return false;
  const { unpack, include, exclude, subPath } = value;
  return isUnpack(unpack) && isTextList(include) && isTextList(exclude) && isAbsentOr(isText, subPath);
}

function isUnpack(value: unknown): value is Selection['unpack'] {
  return value === 'auto' || value === 'never' || value === 'always';
}

/** Returns the record at a path and when it was last used; undefined if it is torn, foreign, or another view's. */
export async function readView(
  path: string,
  key: string,
): Promise<(ViewRecord & { usedAt: number }) | undefined> {
  await using file = await open(path);
  const { mtimeMs } = await file.stat();
  const fields = parseFields(await file.readFile('utf8'));
  const record = fields === undefined ? undefined : parseView(fields, key);
  return record && { ...record, usedAt: mtimeMs };
}
