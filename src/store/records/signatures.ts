import type { SignatureRecord } from '../../ports/records.ts';
import type { Folder } from '../files/folder.ts';
import { type Fields, isFields, isText } from '../files/json-record.ts';
import { type RecordWarning, openRecords, type Records } from './records.ts';
import type { Scratch } from '../files/scratch.ts';

export function openSignatures(
  folder: Folder,
  scratch: Scratch,
  note: RecordWarning,
): Promise<Records<SignatureRecord>> {
  return openRecords(
    folder,
    scratch,
    {
      noun: 'record of signatures',
      durable: true,
      keyOf: record => record.subject,
      parse: parseSignatures,
    },
    note,
  );
}

function parseSignatures(fields: Fields): SignatureRecord | undefined {
  const { subject, answers } = fields;
  if (!isText(subject) || !isFields(answers)) return undefined;
  const texts = Object.entries(answers).filter((entry): entry is [string, string] => isText(entry[1]));
  return { ...fields, subject, answers: Object.fromEntries(texts) };
}
