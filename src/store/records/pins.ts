import type { Complete, PinRecord, Pins } from '../../ports/records.ts';
import type { Folder } from '../files/folder.ts';
import { type Fields, isCount, isDigestText, isText, toHolds } from '../files/json-record.ts';
import { type RecordWarning, openRecords } from './records.ts';
import type { Scratch } from '../files/scratch.ts';

export type PinStore = Pins & Complete<PinRecord>;

/** Pins survive a power cut: a user was told that they are kept. */
export async function openPins(folder: Folder, scratch: Scratch, note: RecordWarning): Promise<PinStore> {
  const records = await openRecords(
    folder,
    scratch,
    {
      noun: 'pin',
      durable: true,
      keyOf: (record: PinRecord) => record.reference,
      parse: parsePin,
    },
    note,
  );
  return {
    find: reference => records.find(reference),
    put: record => records.put(record),
    list: () => records.list(),
    listAll: () => records.listAll(),
    async remove(reference) {
      const pin = await records.find(reference);
      await records.remove(reference);
      return pin !== undefined;
    },
  };
}

function parsePin(fields: Fields): PinRecord | undefined {
  const { reference, digest, pinnedAt } = fields;
  const holds = toHolds(fields['holds']);
  if (!isText(reference) || !isDigestText(digest) || !isCount(pinnedAt) || holds === undefined)
    return undefined;
  return { ...fields, reference, digest, pinnedAt, holds };
}
