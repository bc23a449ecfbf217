import type { SignatureRecord } from '../../ports/records.ts';
import { type Fields, isFields, isText } from '../files/json-record.ts';
import type { RecordKind } from './records.ts';

export const signatureRecords: RecordKind<SignatureRecord> = {
  noun: 'record of signatures',
  durable: true,
  keyOf: record => record.subject,
  parse: parseSignatures,
};

function parseSignatures(fields: Fields): SignatureRecord | undefined {
  const { subject, answers } = fields;
  if (!isText(subject) || !isFields(answers)) return undefined;
  const texts = Object.entries(answers).filter((entry): entry is [string, string] => isText(entry[1]));
  return { ...fields, subject, answers: Object.fromEntries(texts) };
}
