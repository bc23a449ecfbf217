import type { DiskAmount } from '../ports/disk.ts';
import type { DataFile, TocEntry } from '../tree/toc.ts';
import type { BodyHead } from './header-reader.ts';
import type { Lookahead } from './lookahead.ts';

/** Where the bodies of a layer are stored while its tar is read. Disposing it closes its files, complete or not. */
export type BodyStore = AsyncDisposable & {
  /** Takes the next bytes of the tar, before they are parsed. */
  receive(chunk: Buffer): void;
  /** Takes the body of an entry, whose bytes are the next ones. Returns where it is (tree/toc.ts). */
  take(head: BodyHead, lookahead: Lookahead): Generator<void, StoredBody>;
  /** The entry of the body that was taken last. */
  describe(entry: TocEntry): void;
  /** Returns a promise if it is busy with what it took. @throws from it, errors of the filesystem. */
  flush(): Promise<void> | undefined;
  /** The disk usage after `more` bytes of the tar in addition to `read`, at most, and the present one, at least. */
  reach(read: number, more: number): { readonly most: DiskAmount; readonly present: DiskAmount };
  /**
   * Resolves when all is written. Returns the files that have the bodies; undefined if each body has its own.
   *
   * @param hexWith returns the sha256 of the tar with these bytes after it.
   */
  finish(hexWith: (padding: Uint8Array) => string): Promise<readonly DataFile[] | undefined>;
};

export type StoredBody = { readonly body: number; readonly sha256: string };
