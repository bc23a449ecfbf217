import type { Digest } from '../oci/digest.ts';
import type { LayerForm, TocSummary } from '../tree/toc.ts';
import type { DiskAmount } from './disk.ts';

/**
 * A layer's file: as it was transferred, or the uncompressed tar of the layer with this digest. `arrival`: it is still
 * being transferred.
 */
export type UnpackSource = {
  readonly path: string;
  readonly diffId?: Digest | undefined;
  readonly arrival?: LayerArrival | undefined;
};
/** A file that arrives from its start on. Bytes that were reported do not change. */
export type LayerArrival = {
  /** Bytes of the whole file. */
  readonly size: number;
  /** Waits for bytes. Returns how many are there, more than `past`. @throws when no more of this file arrive. */
  more(past: number): Promise<number>;
};
/** `grow`: grants disk space before it is used; `written` is what was used so far. @throws if there is none. */
export type UnpackDestination = {
  readonly path: string;
  readonly form: LayerForm;
  readonly grow: (more: DiskAmount, written: DiskAmount) => Promise<void>;
};

export type Unpacker = {
  /**
   * Unpacks a layer file into an empty directory, in another thread: every body under its number, or the uncompressed
   * tar as a file, and the table of contents (tree/toc-text.ts). The file is verified, or nothing is used of what is
   * unpacked before it is. After a failure the directory holds a part of it, and nothing writes to it any more.
   *
   * @throws `unmountable` naming layer and entry; `exhausted`; the signal's reason, promptly.
   */
  unpack(
    source: UnpackSource,
    digest: Digest,
    into: UnpackDestination,
    signal: AbortSignal,
  ): Promise<TocSummary>;
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
