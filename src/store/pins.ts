import type { Digest } from '../oci/digest.ts';
import type { Folder } from './folder.ts';
import { type Fields, isCount, isDigestText, isText, toHolds } from './json-record.ts';
import { type Note, openRecords } from './records.ts';
import type { Scratch } from './scratch.ts';

/** What collection must leave, with the reference it was pinned by. */
export type PinRecord = {
  readonly reference: string;
  readonly digest: Digest;
  readonly pinnedAt: number;
  /** Every digest that it keeps; empty in a record of an older version. */
  readonly holds: readonly Digest[];
};

export type Pins = {
  find(reference: string): Promise<PinRecord | undefined>;
  put(record: PinRecord): Promise<void>;
  /** Whether it was pinned. */
  remove(reference: string): Promise<boolean>;
  list(): Promise<readonly PinRecord[]>;
  /** For who must know them all. @throws `internal` naming one that cannot be read. */
  listAll(): Promise<readonly PinRecord[]>;
};

/** Pins outlive a power cut: a person was told that they hold. */
export async function openPins(folder: Folder, scratch: Scratch, note: Note): Promise<Pins> {
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
