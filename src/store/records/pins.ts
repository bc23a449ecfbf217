import type { Complete, PinRecord, Pins } from '../../ports/records.ts';
import { type Fields, isCount, isDigestText, isText, toHolds } from '../files/json-record.ts';
import type { RecordKind, Records } from './records.ts';

export type PinStore = Pins & Complete<PinRecord>;

/** Pins survive a power cut: a user was told that they are kept. */
export const pinRecords: RecordKind<PinRecord> = {
  noun: 'pin',
  durable: true,
  keyOf: record => record.reference,
  parse: parsePin,
};

/** Tells of a removal whether there was a pin. */
export function toPins({ find, put, remove, list, listAll }: Records<PinRecord>): PinStore {
  return {
    find,
    put,
    list,
    listAll,
    async remove(reference) {
      const pin = await find(reference);
      await remove(reference);
      return pin !== undefined;
    },
  };
}

function parsePin(fields: Fields): PinRecord | undefined {
  const { reference, digest, pinnedAt } = fields;
  const holds = toHolds(fields['holds']);
  if (!isText(reference) || !isDigestText(digest) || !isCount(pinnedAt) || holds === undefined)
    return undefined;
  const { by, ...others } = fields;
  return { ...others, reference, digest, pinnedAt, holds, ...(by === 'prefetch' ? { by } : {}) };
}
