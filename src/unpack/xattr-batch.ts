import { type EntryAttributes, sizeOfNames, type TocEntry, type Xattrs } from '../tree/toc.ts';

/** Bodies of a layer, which lie in the folder `into`, and the extended attributes and times that they are to get. */
export type XattrBatch = {
  readonly into: string;
  readonly bodies: readonly { readonly body: number; readonly xattrs: Xattrs; readonly mtime: bigint }[];
};

/** Whether a body has attributes that Node has no call for: extended ones, or a time that is finer than a second. */
export function needsCall({ xattrs, mtime }: EntryAttributes): boolean {
  return xattrs !== undefined || mtime % 1_000_000_000n !== 0n;
}

/** Answers the names of attributes that the file system did not take, one for each body and name. */
export type SetXattrs = (batch: XattrBatch) => Promise<readonly string[]>;

/**
 * Hands such attributes over in batches: a thread cannot set them itself, since what calls the C library is not loaded
 * in threads (util/thread.ts).
 */
export type XattrWriter = {
  add(entry: TocEntry): void;
  /** A promise once there are enough for a batch. @throws from it, as the file system does. */
  flush(): Promise<void> | undefined;
  /** Resolves when all are set. @throws likewise. */
  finish(): Promise<void>;
};

/** Bodies, and bytes of names and values, from which a batch is worth its way. */
const batchBodies = 256;
const batchBytes = 256 * 1024;

/** @param onDropped hears of an attribute that the file system does not take. */
export function openXattrWriter(
  into: string,
  set: SetXattrs,
  onDropped: (name: string) => void,
): XattrWriter {
  let bodies: XattrBatch['bodies'][number][] = [];
  let bytes = 0;

  const finish = async (): Promise<void> => {
    if (bodies.length === 0) return;
    const batch = { into, bodies };
    bodies = [];
    bytes = 0;
    for (const name of await set(batch)) onDropped(name);
  };

  return {
    add(entry) {
      if (entry.kind !== 'file' || !needsCall(entry)) return;
      const { body, xattrs = {}, mtime } = entry;
      bodies.push({ body, xattrs, mtime });
      bytes += sizeOfNames(entry);
    },
    flush: () => (bodies.length < batchBodies && bytes < batchBytes ? undefined : finish()),
    finish,
  };
}
