import type { AccessRecord } from '../../ports/records.ts';
import { type Fields, isDigestText, isText } from '../files/json-record.ts';
import type { RecordKind } from './records.ts';

/** Accesses survive a power cut: without the registry, they decide whom the node may serve. */
export const accessRecords: RecordKind<AccessRecord> = {
  noun: 'access record',
  durable: true,
  keyOf: record => record.repository,
  parse: parseAccess,
};

function parseAccess(fields: Fields): AccessRecord | undefined {
  const { repository, anonymous, node } = fields;
  const accounts = listOf(isText, fields['accounts']);
  const pods = listOf(isText, fields['pods']);
  const secrets = listOf(isText, fields['secrets']);
  const digests = listOf(isDigestText, fields['digests']);
  const mirrored = listOf(isDigestText, fields['mirrored']);
  if (!isText(repository) || typeof anonymous !== 'boolean' || typeof node !== 'boolean') return undefined;
  if (accounts === undefined || pods === undefined || secrets === undefined) return undefined;
  if (digests === undefined || mirrored === undefined) return undefined;
  return { ...fields, repository, anonymous, node, accounts, pods, secrets, digests, mirrored };
}

function listOf<T>(is: (value: unknown) => value is T, value: unknown): readonly T[] | undefined {
  return Array.isArray(value) && value.every(is) ? value : undefined;
}
