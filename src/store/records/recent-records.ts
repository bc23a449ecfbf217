/** A record, and the stamp of its file before it was read. */
type Known<T> = { readonly stamp: string; readonly record: T | undefined; readonly length: number };

/** The records that were read lately, by the names of their files, so that a repeated publish parses none. */
export type RecentRecords<T> = {
  get(name: string): Known<T> | undefined;
  /** `length` of its text counts for how many are kept. */
  keep(name: string, known: Known<T>): void;
};

/** Characters: thousands of ordinary records, or a few of artifacts with many layers. */
const mostKept = 1024 * 1024;

export function createRecentRecords<T>(): RecentRecords<T> {
  const kept = new Map<string, Known<T>>();
  let length = 0;
  const forget = (name: string): void => {
    length -= kept.get(name)?.length ?? 0;
    kept.delete(name);
  };
  return {
    get: name => kept.get(name),
    keep(name, known) {
      forget(name);
      kept.set(name, known);
      length += known.length;
      for (const oldest of kept.keys()) {
        if (length <= mostKept) break;
        forget(oldest);
      }
    },
  };
}
