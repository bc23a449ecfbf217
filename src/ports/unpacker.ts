import type { Digest } from '../oci/digest.ts';
import type { TocSummary } from '../oci/toc.ts';

/** Unpacks a verified layer file into a folder of the store, in a thread of its own. @throws `unmountable` naming the entry; `exhausted`. */
export type Unpacker = {
  unpack(source: string, digest: Digest, into: string, signal: AbortSignal): Promise<TocSummary>;
  /** Whether a file begins as a tar, plain or compressed with gzip or zstd. */
  isTar(path: string): Promise<boolean>;
};

/**
 * Reads an archive as it streams by: each regular file with its size in bytes, whose content must be read before the next;
 * and what stands in the place of one.
 */
export type Archive = {
  read(tar: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncIterable<ArchiveEntry>;
};
export type ArchiveEntry =
  | ArchiveFile
  | { readonly kind: 'other'; readonly path: string; readonly what: string };
export type ArchiveFile = {
  readonly kind: 'file';
  readonly path: string;
  readonly size: number;
  readonly content: AsyncIterable<Uint8Array>;
};
