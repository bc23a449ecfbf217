import type { Folder } from './folder.ts';
import { type Fields, isFields, isText } from './json-record.ts';
import { type Note, openRecords, type Records } from './records.ts';
import type { Scratch } from './scratch.ts';

/**
 * The signatures that were found for an artifact, so that they can be judged again with no network. Values are JSON of
 * whoever judges; they are verified each time, never trusted.
 */
export type SignatureRecord = {
  /** registry/path@digest. */
  readonly subject: string;
  readonly answers: Readonly<Record<string, string>>;
};

export function openSignatures(
  folder: Folder,
  scratch: Scratch,
  note: Note,
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
