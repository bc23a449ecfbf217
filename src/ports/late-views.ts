import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { Platform } from '../oci/platform.ts';
import type { DirectoryNode } from '../tree/tree.ts';
import type { Sink } from './registry.ts';
import type { ViewImage, ViewRecord } from './store.ts';

/**
 * A view that is mounted while its large layers still come: an image over files of its own. The file of a layer is also
 * that of its download, and so of its blob. What has not come is read from a landing, which waits or fails.
 */
export type LateView = {
  /** The key of the view of the image; another one for each late view. */
  readonly key: string;
  /** The key of the view that all of its content makes, which later volumes show. */
  readonly complete: string;
  /** The large layers. */
  readonly layers: readonly LateLayer[];
  /** For which platform it was selected; undefined: that of the node. */
  readonly platform?: Platform | undefined;
  /** Whether the image shows all bytes of a layer, and its digest was verified. */
  isShown(layer: number): boolean;
  /** Of a layer that has a list of its chunks; it is not prepared, and not shown as a whole. */
  chunksOf(layer: number): LateChunks | undefined;
  /**
   * Makes the next download of a layer write to its file, and takes room on the disk for all of its bytes. @throws
   * `exhausted`.
   */
  prepare(layer: number): Promise<void>;
  /** Shows the bytes of a layer that is in the cache. */
  show(layer: number): Promise<void>;
  /** Opens the file that has them. */
  open(layer: number): OpenFile;
  /** The kernel has, or may have, an old map of bytes that are shown. Where it keeps maps, it is made to read them again. */
  reread(): Promise<void>;
};

/**
 * A large layer of which each chunk is shown when its own digest is verified, which is in a list. Its file is no
 * download, and nothing but missing chunks is written to it: no reader sees bytes change.
 */
export type LateChunks = {
  readonly list: Digest;
  readonly count: number;
  readonly chunkSize: number;
  /** Returns the number of the chunk with a byte. */
  at(offset: number): number;
  /** Whether there are digests, so that chunks can come one by one. */
  isListed(): boolean;
  isShown(chunk: number): boolean;
  /** Whether these bytes are shown. */
  has(offset: number, length: number): boolean;
  /** How many bytes are shown. */
  bytes(): number;
  /** Opens a chunk that is not shown, for one writer. */
  open(chunk: number): LateChunk;
  /** Whether all of the layer was verified: it is a blob then. */
  isWhole(): boolean;
  /** Whether all chunks had the digests of the list, and all of the layer not its own. No chunk is shown then. */
  hasLied(): boolean;
  /**
   * Verifies all of a layer whose chunks are shown, and makes its file the blob, unless there is one. @throws `corrupt`
   * if the list lied.
   */
  finish(signal: AbortSignal): Promise<void>;
};

/** A chunk that is not shown. Its life: written or copied -> verified -> shown -> disposed. */
export type LateChunk = Disposable &
  Required<Pick<Sink, 'verify' | 'file'>> &
  Sink & {
    /** The chunk has the bytes `from` to `to` - 1 of the layer. */
    readonly from: number;
    readonly to: number;
    /** Takes its bytes from the blob. */
    copy(): Promise<void>;
    show(): Promise<void>;
  };

/** A file that is open for reading until this is disposed. */
export type OpenFile = Disposable & { readonly fd: number };

export type LateLayer = Pick<Descriptor, 'digest' | 'size'>;

/** A verified list of the chunks of a layer. */
export type LateList = {
  readonly digest: Digest;
  readonly chunkSize: number;
  readonly bytes: Uint8Array;
};

export type LateViewPlan = Pick<LateView, 'key' | 'platform'> & {
  readonly layers: readonly (LateLayer & { readonly list?: LateList | undefined })[];
  /** That of the complete view. */
  readonly record: ViewRecord;
  readonly tree: DirectoryNode;
  /** Where the layers are downloaded from. */
  readonly source: string;
  /** Returns the landing of a layer. */
  readonly landingOf: (layer: number) => string;
  /** Whether the kernel keeps the maps of the image until it is made to read them again. */
  readonly keepsMaps: boolean;
};

/** Late views of this boot: no mount outlives it. */
export type LateViews = {
  /**
   * Makes a late view, with a view for its image, and takes room for all of it. @returns its image, which only a mount
   * in another thread may use; undefined if it cannot be an image.
   *
   * @throws `exhausted`.
   */
  create(
    plan: LateViewPlan,
    signal: AbortSignal,
  ): Promise<{ readonly view: LateView; readonly image: ViewImage } | undefined>;
  find(key: string): Promise<LateView | undefined>;
  /**
   * Verifies its image, of which only the chunks that it shows may have changed. Returns what is wrong; undefined if
   * nothing is, or if there is none. Whoever can write to it can still make it show chunks that are not here.
   */
  check(key: string, signal: AbortSignal): Promise<string | undefined>;
  /** The keys of those there are, and of incomplete ones. Opens none. */
  keys(): Promise<readonly string[]>;
  /** Removes it, and its view. Its mounts stay. */
  remove(key: string): Promise<void>;
};
