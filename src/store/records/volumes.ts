import type { VolumeRecord } from '../../ports/records.ts';
import type { Pod } from '../../ports/request.ts';
import {
  type Fields,
  isAbsentOr,
  isCount,
  isDigestText,
  isFields,
  isText,
  toHolds,
} from '../files/json-record.ts';
import type { RecordKind } from './records.ts';

/** Volume records are not synced: a power cut ends every mount, and kubelet then publishes again. */
export const volumeRecords: RecordKind<VolumeRecord> = {
  noun: 'volume record',
  durable: false,
  keyOf: record => record.targetPath,
  parse: parseVolume,
};

function parseVolume(fields: Fields): VolumeRecord | undefined {
  const { volumeId, targetPath, fingerprint, anywhere, keepsFolder, reference, resolved } = fields;
  const { digest, manifest, view, bytes, inodes, pod, publishedAt, ...rest } = fields;
  const holds = toHolds(rest['holds']);
  if (!isText(volumeId) || !isText(targetPath) || !isText(fingerprint) || typeof anywhere !== 'boolean') {
    return undefined;
  }
  if (!isText(reference) || !isText(resolved) || !isDigestText(digest) || !isDigestText(manifest))
    return undefined;
  if (!isText(view) || !isCount(bytes) || !isCount(inodes) || !isCount(publishedAt)) return undefined;
  if (!isAbsentOr(isPod, pod) || !isAbsentOr(isFlag, keepsFolder) || holds === undefined) return undefined;
  return {
    ...rest,
    volumeId,
    targetPath,
    fingerprint,
    anywhere,
    ...(keepsFolder !== undefined && { keepsFolder }),
    reference,
    resolved,
    digest,
    manifest,
    view,
    bytes,
    inodes,
    holds,
    ...(pod !== undefined && { pod }),
    publishedAt,
  };
}

function isFlag(value: unknown): value is boolean {
  return typeof value === 'boolean';
}

function isPod(value: unknown): value is Pod {
  if (!isFields(value)) return false;
  const { namespace, name, uid, serviceAccount } = value;
  return isText(namespace) && isText(name) && isText(uid) && isAbsentOr(isText, serviceAccount);
}
