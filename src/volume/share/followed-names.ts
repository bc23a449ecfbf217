import type { NameRecord, Names } from '../../ports/records.ts';

/** The same names. Each change is reported when it is stored: `record` undefined for a name that was removed. */
export function followNames<T extends Pick<Names, 'put' | 'remove'>>(
  names: T,
  onChange: (reference: string, record: NameRecord | undefined) => void,
): T {
  return {
    ...names,
    async put(record) {
      await names.put(record);
      onChange(record.reference, record);
    },
    async remove(reference) {
      await names.remove(reference);
      onChange(reference, undefined);
    },
  };
}
