import type { Descriptor } from '../../oci/descriptor.ts';
import type { Platform } from '../../oci/platform.ts';
import type { NameRecord } from '../../ports/records.ts';
import {
  type Fields,
  isAbsentOr,
  isCount,
  isDigestText,
  isFields,
  isText,
  isTextMap,
  toHolds,
} from '../files/json-record.ts';
import type { RecordKind } from './records.ts';

/** Names survive a power cut: without the registry, they are how a node finds cached content. */
export const nameRecords: RecordKind<NameRecord> = {
  noun: 'name',
  durable: true,
  keyOf: record => record.reference,
  parse: parseName,
  timeOf: record => record.usedAt,
};

function parseName(fields: Fields, usedAt: number): NameRecord | undefined {
  const { reference, resolvedAt, authorised } = fields;
  const descriptor = toDescriptor(fields['descriptor']);
  const holds = toHolds(fields['holds']);
  if (holds === undefined) return undefined;
  if (!isText(reference) || descriptor === undefined || !isCount(resolvedAt)) return undefined;
  if (authorised !== 'anonymous' && authorised !== 'credential' && authorised !== 'local') return undefined;
  return { ...fields, reference, descriptor, resolvedAt, authorised, holds, usedAt };
}

function toDescriptor(value: unknown): Descriptor | undefined {
  if (!isFields(value)) return undefined;
  const { mediaType, digest, size, annotations, artifactType, platform, ...rest } = value;
  if (!isText(mediaType) || !isDigestText(digest) || !isCount(size) || !isTextMap(annotations))
    return undefined;
  if (!isAbsentOr(isText, artifactType) || !isAbsentOr(isPlatform, platform)) return undefined;
  return {
    ...rest,
    mediaType,
    digest,
    size,
    annotations,
    ...(artifactType !== undefined && { artifactType }),
    ...(platform !== undefined && { platform }),
  };
}

function isPlatform(value: unknown): value is Platform {
  if (!isFields(value)) return false;
  const { os, architecture, variant } = value;
  return isText(os) && isText(architecture) && isAbsentOr(isText, variant);
}
