import type { Digest } from '../oci/digest.ts';
import type { TocSummary } from '../tree/toc.ts';

export type Unpacker = {
  /**
   * Unpacks a verified layer file into an empty directory, in a thread of its own: every body under its number, and the
   * table of contents (tree/toc-text.ts). After a failure the directory holds a part of them, and nothing writes to it
   * any more.
   *
   * @throws `unmountable` naming layer and entry; `exhausted`; the signal's reason, promptly.
   */
  unpack(source: string, digest: Digest, into: string, signal: AbortSignal): Promise<TocSummary>;
  /** Whether a file begins as a tar, plain or compressed with gzip or zstd. */
  isTar(path: string): Promise<boolean>;
};

/**
 * Reads an archive as a stream. Each regular file comes with its size in bytes; its content must be read before the
 * next entry. Other entries come as a description.
 */
export type Archive = {
  read(tar: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncIterable<ArchiveEntry>;
};
/**
 * An entry of a tar that is not a directory. The content of a regular file must be read before the next entry; `size`
 * is in bytes. `what` describes a link or a special file.
 */
export type ArchiveEntry =
  | ArchiveFile
  | { readonly kind: 'other'; readonly path: string; readonly what: string };
export type ArchiveFile = {
  readonly kind: 'file';
  readonly path: string;
  readonly size: number;
  readonly content: AsyncIterable<Uint8Array>;
};
