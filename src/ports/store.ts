import type { Descriptor } from '../oci/descriptor.ts';
import type { Algorithm, Digest } from '../oci/digest.ts';
import type { LayerForm, TocEntry, TocSummary } from '../tree/toc.ts';
import type { DirectoryNode } from '../tree/tree.ts';
import type { GrowingFile } from '../util/growing-file.ts';
import type { Sink } from './registry.ts';
import type { Selection } from './request.ts';

/** An object of the cache: its size on disk in bytes, and when it was stored, in milliseconds since 1970. */
export type Held = {
  readonly digest: Digest;
  readonly bytes: number;
  readonly inodes: number;
  readonly since: number;
};

/** A description of the damage, and the inodes with wrong bytes, mode or owner. Views may link these inodes. */
export type Damage = {
  readonly problem: string;
  readonly inodes: readonly bigint[];
  /** Nothing is wrong with it: another version of this program unpacked it, and this one cannot use it. */
  readonly outdated?: true;
};

/** Reads and hashes a file, at a pace of its own. */
export type HashFile = (
  path: string,
  algorithm: Algorithm,
  signal: AbortSignal,
) => Promise<{ readonly size: number; readonly hex: string }>;

/** How content is verified: `inode` compares the inodes only; a function reads and hashes the bytes. */
export type Look = 'inode' | HashFile;

/** A blob, or an unpacked layer with all of its bodies. */
export type Item = { readonly kind: 'blobs' | 'layers'; readonly digest: Digest };

/**
 * The state of an item's verification. `verified`: its files have not changed since they were verified, which was after
 * the last unclean stop and after `since` (milliseconds since 1970). `stale`: its files have not changed, but the
 * verification is older or never happened. `changed`: its files have changed. `unknown`: nothing is known. `absent`:
 * the item does not exist.
 */
export type VerificationState = 'verified' | 'stale' | 'changed' | 'unknown' | 'absent';

/** Keeps what proves that the bytes under a digest are right. */
export type Evidence = {
  /** The standing of each item, in their order. */
  states(items: readonly Item[], since: number, signal: AbortSignal): Promise<readonly VerificationState[]>;
  /** When the item was last verified, in milliseconds since 1970; 0 if never, or not since an unclean stop. */
  verifiedAt(item: Item): number;
  /** How many files it had then. */
  files(item: Item): number;
  /**
   * Runs `check`, which answers what is wrong with the bytes. Records success if the files did not change meanwhile.
   */
  verify<T>(item: Item, check: () => Promise<T | undefined>, signal: AbortSignal): Promise<T | undefined>;
  /** From now on, notices writes into those of these items that just arrived. */
  settle(items: readonly Item[]): Promise<void>;
  /** Trusts the item as it is until there is time to verify it. */
  presume(item: Item, signal: AbortSignal): Promise<void>;
  forget(item: Item): void;
};

/** Verified bytes by digest. */
export type Blobs = {
  /** Size in bytes; undefined if the blob is not in the cache. */
  size(digest: Digest): Promise<number | undefined>;
  /** Reads a small blob and verifies it again. @throws `corrupt`; `not-found`; `invalid` above 4 MiB. */
  read(digest: Digest): Promise<Uint8Array>;
  /** Prepares to store these, all in one step. Disposed when they are stored, or will not be. */
  expect(digests: readonly Digest[]): Disposable;
  /** Verifies and stores a small blob. Succeeds if another caller has stored it. A power cut may remove it. */
  put(digest: Digest, bytes: Uint8Array): Promise<void>;
  /**
   * Opens or resumes the download of this digest and size from this source. Downloads from other sources are left
   * alone.
   *
   * @throws `busy` if it is open.
   */
  ingest(descriptor: Descriptor, source: string, signal: AbortSignal): Promise<Ingest>;
  /** The offset at which such a download would continue, in bytes. */
  partial(descriptor: Descriptor, source: string): number;
  path(digest: Digest): string;
  /** Verifies bytes, mode and owner. Answers undefined for a blob that does not exist. */
  check(digest: Digest, signal: AbortSignal, look?: Look): Promise<Damage | undefined>;
  /** Removes the blob, and partial downloads of it that are not open. */
  remove(digest: Digest): Promise<void>;
  /** Everything that takes disk space: blobs and downloads. A digest may be listed as both. */
  list(): Promise<readonly Held[]>;
};

/**
 * A download in progress, from `offset` on. Its life: open (with what an earlier one left) -> write or restart, or
 * other writers appending to `file`, any number of times -> verify -> commit -> dispose. If it is disposed before
 * commit, the partial file stays for a resume. Wrong bytes are discarded at once, and all bytes if the disk is full;
 * the download can then start again. A failed commit leaves nothing.
 */
export type Ingest = Sink &
  AsyncDisposable & {
    /** Path of the partial file. */
    readonly path: string;
    readonly file: GrowingFile;
    /**
     * Verifies size, then digest. Can be called again. @throws `corrupt` with expected and actual values; it is then as
     * after `restart`.
     */
    verify(): Promise<void>;
    /** After verify: moves the file to the digest's name. A power cut may remove it. */
    commit(): Promise<void>;
    /** Removes the partial file. */
    drop(): Promise<void>;
  };

/** Tar layers by digest, each unpacked once in each of two forms. */
export type Layers = {
  /**
   * Reads the table of contents of a form, else of `form(digest)`, in batches and sums it up; undefined if it is not in
   * the cache. An error of `take` is thrown only after the checksum of the whole was verified; until then, nothing made
   * of the entries may be used.
   *
   * @throws `corrupt`.
   */
  readToc(
    digest: Digest,
    take: (entries: readonly TocEntry[]) => void,
    signal: AbortSignal,
    form?: LayerForm,
  ): Promise<TocSummary | undefined>;
  /** @param form if it must be stored in this one. */
  has(digest: Digest, form?: LayerForm): Promise<boolean>;
  /** The uncompressed tar of a layer that is stored as that, and its digest; undefined for another one. */
  tar(digest: Digest): Promise<{ readonly path: string; readonly diffId: Digest } | undefined>;
  /** The form in which it is stored, bodies if in both; undefined if it is not in the cache. */
  form(digest: Digest): LayerForm | undefined;
  /** Bytes of all bodies; undefined if the layer is not in the cache. */
  size(digest: Digest): Promise<number | undefined>;
  /** An empty directory to unpack into. It is removed if it is disposed without commit. */
  stage(digest: Digest, form?: LayerForm): Promise<Stage>;
  path(digest: Digest): string;
  /** Verifies the table of contents and every body. Answers undefined for a layer that does not exist. */
  check(digest: Digest, signal: AbortSignal, look?: Look): Promise<Damage | undefined>;
  remove(digest: Digest): Promise<void>;
  list(): Promise<readonly Held[]>;
};

export type Stage = AsyncDisposable & {
  /** The directory for the bodies, or the tar, and their table of contents. */
  readonly path: string;
  /** Adds the layer to the cache. A view built of it waits until it is durable. */
  commit(summary: TocSummary): Promise<void>;
};

/** What a view is made of; stored beside the view. It is not a root of garbage collection (see records.ts). */
export type ViewRecord = {
  readonly key: string;
  readonly manifest: Digest;
  /** A full reference that it was pulled by, for messages. */
  readonly reference: string;
  readonly artifactType?: string;
  /** The layers that its tree links from `blobs/`. Records of older versions also list documents. */
  readonly blobs: readonly Digest[];
  /** The layers that its tree links from `layers/`. */
  readonly layers: readonly Digest[];
  readonly bytes: number;
  readonly inodes: number;
  /** Which part of the artifact it shows; absent if its record was lost and restored. */
  readonly selection?: Selection;
  /** What the view does not show: a few lines for users. */
  readonly notes?: readonly string[];
  /** What is wrong with it. Volumes that show it keep it; no other volume gets it. */
  readonly damage?: string;
  /** The sha256 of its image. */
  readonly imageDigest?: Digest;
  /** The inodes of the files that have the bytes of its image: a mount of it shows these, whatever replaces them. */
  readonly deviceInodes?: readonly number[];
  /** Its image is that of a late view: it changes while it is mounted, and only its first mount is made of it. */
  readonly late?: boolean;
};

/**
 * An image that shows a tree, over the files that have the bytes of its files. `isDirect`: these are read past the page
 * cache, which has the files of the image.
 */
export type ViewImage = {
  readonly file: string;
  readonly devices: readonly string[];
  readonly isDirect: boolean;
};

/** `path`: the tree, or the directory that has its image. `usedAt`: milliseconds since 1970. */
export type View = ViewRecord & {
  readonly path: string;
  readonly image?: ViewImage | undefined;
  readonly usedAt: number;
};

/**
 * `form`: that of the layers in the tree, bodies by default; an image shows tars. `raised`: called when the tree is no
 * longer needed, and the disk is waited for.
 */
export type BuildOptions = {
  readonly form?: LayerForm;
  readonly raised?: () => void;
  /** Makes the directory with the image of a late view. Returns what the shape of the view watches. */
  readonly raiseLate?: (directory: string) => Promise<{
    readonly directories: readonly Buffer[];
    readonly symlinks: readonly Buffer[];
  }>;
};

/** Merged trees. */
export type Views = {
  find(key: string): Promise<View | undefined>;
  /**
   * Builds the tree aside and renames it; a power cut may remove it. Never changes an existing view. Links files from
   * blobs and layers, and copies at EMLINK; or writes an image over the tars of layers.
   */
  build(record: ViewRecord, tree: DirectoryNode, signal: AbortSignal, options?: BuildOptions): Promise<View>;
  /** Sets the time of last use to now. */
  touch(key: string): Promise<void>;
  /** Whether no name of the tree has changed since it was built or compared. Takes microseconds per directory. */
  isAsBuilt(key: string, signal: AbortSignal): Promise<boolean>;
  /**
   * Compares the tree with what it must be; undefined if there is none. Without a problem, it counts as built from now
   * on.
   *
   * @param form that of the layers in the tree, bodies by default.
   */
  compare(
    key: string,
    tree: DirectoryNode,
    signal: AbortSignal,
    form?: LayerForm,
  ): Promise<{ readonly problem: string | undefined } | undefined>;
  /** Verifies the image of a view by its recorded digest. Answers undefined for a tree, and for no view. */
  checkImage(key: string, look: Look, signal: AbortSignal): Promise<string | undefined>;
  /** `isAsBuilt` answers false until the view is compared again. */
  distrust(key: string): void;
  /** Whether the tree links one of these inodes. */
  shows(key: string, inodes: readonly bigint[], signal: AbortSignal): Promise<boolean>;
  /** Gives the tree another record with another key. Mounts of it stay; it is no longer found by its old key. */
  setAside(key: string, as: ViewRecord): Promise<void>;
  remove(key: string): Promise<void>;
  list(): Promise<readonly View[]>;
  /** The views that are made of an item. Only the first call reads the records. */
  holding(item: Item): Promise<readonly View[]>;
};
