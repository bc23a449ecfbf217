import { type EntryAttributes, sizeOfNames, type TocEntry, type Xattrs } from '../tree/toc.ts';

/** Bodies of a layer, in the directory `into`, and the extended attributes and times to set. */
export type XattrBatch = {
  readonly into: string;
  readonly bodies: readonly { readonly body: number; readonly xattrs: Xattrs; readonly mtime: bigint }[];
};

/** Whether a body has attributes that Node cannot set: extended ones, or a time with fractions of a second. */
export function needsCall({ xattrs, mtime }: EntryAttributes): boolean {
  return xattrs !== undefined || mtime % 1_000_000_000n !== 0n;
}

/** Returns the names of attributes that the filesystem refused, one for each body and name. */
export type SetXattrs = (batch: XattrBatch) => Promise<readonly string[]>;

/**
 * Sends such attributes to the main thread in batches: a thread cannot set them itself, because threads do not load the
 * C library calls (util/thread.ts).
 */
export type XattrWriter = {
  add(entry: TocEntry): void;
  /** Returns a promise once a batch is full. @throws from it, errors of the filesystem. */
  flush(): Promise<void> | undefined;
  /** Resolves when all are set. @throws likewise. */
  finish(): Promise<void>;
};

/** The bodies, and the bytes of names and values, that make a batch worth sending. */
const batchBodies = 256;
const batchBytes = 256 * 1024;

/** @param onDropped called with an attribute that the filesystem refused. */
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
