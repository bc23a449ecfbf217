import type { Digest } from '../oci/digest.ts';
import type { Folder } from './folder.ts';
import { type Fields, isCount, isDigestText, isText } from './json-record.ts';
import { openRecords } from './records.ts';
import type { Scratch } from './scratch.ts';

/** What collection must leave, with the reference it was pinned by. */
export type PinRecord = { readonly reference: string; readonly digest: Digest; readonly pinnedAt: number };

export type Pins = {
  put(record: PinRecord): Promise<void>;
  /** Whether it was pinned. */
  remove(reference: string): Promise<boolean>;
  list(): Promise<readonly PinRecord[]>;
};

/** Pins outlive a power cut: a person was told that they hold. */
export function openPins(folder: Folder, scratch: Scratch): Pins {
  const records = openRecords(folder, scratch, {
    noun: 'pin',
    durable: true,
    keyOf: (record: PinRecord) => record.reference,
    parse: parsePin,
  });
  return {
    put: record => records.put(record),
    list: () => records.list(),
    async remove(reference) {
      const pin = await records.find(reference);
      await records.remove(reference);
      return pin !== undefined;
    },
  };
}

function parsePin(fields: Fields): PinRecord | undefined {
  const { reference, digest, pinnedAt } = fields;
  if (!isText(reference) || !isDigestText(digest) || !isCount(pinnedAt)) return undefined;
  return { ...fields, reference, digest, pinnedAt };
}
