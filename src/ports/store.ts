import type { Descriptor } from '../oci/descriptor.ts';
import type { Algorithm, Digest } from '../oci/digest.ts';
import type { TocEntry, TocSummary } from '../tree/toc.ts';
import type { DirectoryNode } from '../tree/tree.ts';
import type { GrowingFile } from '../util/growing-file.ts';
import type { Selection } from './request.ts';
import type { Sink } from './registry.ts';

/** A thing of the cache: what it takes on the disk, and when it came (milliseconds since 1970). */
export type Held = {
  readonly digest: Digest;
  readonly bytes: number;
  readonly inodes: number;
  readonly since: number;
};

/** What is wrong, in words, and the inodes that hold wrong bytes or have a wrong mode or owner: views may show them. */
export type Damage = { readonly problem: string; readonly inodes: readonly bigint[] };

/** Reads a file and hashes it, at whatever pace. */
export type HashFile = (
  path: string,
  algorithm: Algorithm,
  signal: AbortSignal,
) => Promise<{ readonly size: number; readonly hex: string }>;

/** How bytes are read and hashed; `inode`: not at all, and only what the inodes say is compared. */
export type Look = 'inode' | HashFile;

/** A blob, or an unpacked layer with all of its bodies. */
export type Item = { readonly kind: 'blobs' | 'layers'; readonly digest: Digest };

/**
 * What speaks for an item. `verified`: its files are as they were when their bytes were verified, which was after the
 * last unclean stop and after `since` (milliseconds since 1970). `stale`: they are as they were, but that was longer ago,
 * or nobody has verified them. `changed`: somebody has touched them. `unknown`: nothing speaks for them. `absent`: there
 * are none.
 */
export type Standing = 'verified' | 'stale' | 'changed' | 'unknown' | 'absent';

/** Why the bytes under a digest are still believed to be right. */
export type Evidence = {
  /** Of each item, in their order. */
  standings(items: readonly Item[], since: number, signal: AbortSignal): Promise<readonly Standing[]>;
  /** When it was last verified, in milliseconds since 1970; 0 if never, or not since an unclean stop. */
  verifiedAt(item: Item): number;
  /** How many files it had then. */
  files(item: Item): number;
  /** Verifies the bytes: `check` finds what is wrong with them. Notes it where they are right, and did not move meanwhile. */
  verify<T>(item: Item, check: () => Promise<T | undefined>, signal: AbortSignal): Promise<T | undefined>;
  /** From now on whoever writes into those that arrived is noticed. */
  settle(items: readonly Item[]): Promise<void>;
  /** Believes in it as it is, until somebody has the time to verify it. */
  presume(item: Item, signal: AbortSignal): Promise<void>;
  forget(item: Item): void;
};

/** Verified bytes by digest. */
export type Blobs = {
  /** Its size in bytes, or undefined if it is not held. */
  size(digest: Digest): Promise<number | undefined>;
  /** The whole of a small blob, hashed again. @throws `corrupt`; `not-found`; `invalid` above 4 MiB. */
  read(digest: Digest): Promise<Uint8Array>;
  /** Verifies and stores a small blob. Success means it is stored, by whomever. */
  put(digest: Digest, bytes: Uint8Array): Promise<void>;
  /**
   * Opens or resumes the one download of this digest and size from this source; what came from another one is left
   * alone.
   * @throws `busy` if it is open.
   */
  ingest(descriptor: Descriptor, source: string, signal: AbortSignal): Promise<Ingest>;
  /** How many bytes such a download would go on from. */
  partial(descriptor: Descriptor, source: string): number;
  path(digest: Digest): string;
  /** Verifies its bytes, mode and owner. One that is not there is right. */
  check(digest: Digest, signal: AbortSignal, look?: Look): Promise<Damage | undefined>;
  /** Removes it, and what earlier downloads of it left unless they go on. */
  remove(digest: Digest): Promise<void>;
  /** All that takes room here: blobs, and downloads, done or not. One digest may be there as both. */
  list(): Promise<readonly Held[]>;
};

/**
 * A download under way, from `offset` on. Its life: open (with what an earlier one left) -> write or restart, or others
 * appending to `file`, any number of times -> verify -> commit -> dispose. Disposed before commit, the partial file stays
 * for a resume; but bytes that are wrong, and all of them when the disk is full, are given up at once, and it can start
 * again. After a commit that failed nothing stays.
 */
export type Ingest = Sink &
  AsyncDisposable & {
    /** The partial file. */
    readonly path: string;
    readonly file: GrowingFile;
    /** Size, then digest; it may be asked again. @throws `corrupt` with what was expected and what came; it is as after `restart`. */
    verify(): Promise<void>;
    /** After verify: fsync, rename under the digest's name, fsync of the folder. */
    commit(): Promise<void>;
    /** Removes the partial file. */
    drop(): Promise<void>;
  };

/** Tar layers, unpacked once by digest. */
export type Layers = {
  /**
   * Reads the table of contents, some entries at a time, and sums up; undefined if the layer is not held. What `take`
   * throws is thrown once the checksum of the whole is verified; until then nothing made of the entries may be used.
   * @throws `corrupt`.
   */
  readToc(
    digest: Digest,
    take: (entries: readonly TocEntry[]) => void,
    signal: AbortSignal,
  ): Promise<TocSummary | undefined>;
  has(digest: Digest): Promise<boolean>;
  /** Bytes of all of its bodies, or undefined if it is not held. */
  size(digest: Digest): Promise<number | undefined>;
  /** An empty folder to unpack into. Disposed without commit, it is removed. */
  stage(digest: Digest): Promise<Stage>;
  path(digest: Digest): string;
  /** Verifies the table of contents and every body. One that is not there is right. */
  check(digest: Digest, signal: AbortSignal, look?: Look): Promise<Damage | undefined>;
  remove(digest: Digest): Promise<void>;
  list(): Promise<readonly Held[]>;
};

export type Stage = AsyncDisposable & {
  /** Where the bodies and their table of contents are written. */
  readonly path: string;
  /** The layer is held from now on; the view that is built of it waits until it is on the disk. */
  commit(summary: TocSummary): Promise<void>;
};

/** What a view is made of; kept beside the view. It holds nothing: roots do (records.ts). */
export type ViewRecord = {
  readonly key: string;
  readonly manifest: Digest;
  /** A full reference it was pulled by, for people. */
  readonly reference: string;
  readonly artifactType?: string;
  /** The layers that its tree links from `blobs/`. Records of older versions list documents as well. */
  readonly blobs: readonly Digest[];
  /** The layers that its tree links from `layers/`. */
  readonly layers: readonly Digest[];
  readonly bytes: number;
  readonly inodes: number;
  /** Which part of the artifact it shows; absent where its record was lost and made anew. */
  readonly selection?: Selection;
  /** What is not shown, for people: a few lines. */
  readonly notes?: readonly string[];
  /** What is wrong with it: it is left to those who show it, and shown to nobody else. */
  readonly damage?: string;
};

/** `usedAt`: milliseconds since 1970. */
export type View = ViewRecord & { readonly path: string; readonly usedAt: number };

/** Merged trees. */
export type Views = {
  find(key: string): Promise<View | undefined>;
  /**
   * Builds aside, then renames; never changes what is there. Links files from blobs and layers (copies at EMLINK). Calls
   * `raised` when it has no more use for the tree, and waits for the disk.
   */
  build(record: ViewRecord, tree: DirectoryNode, signal: AbortSignal, raised?: () => void): Promise<View>;
  /** Notes that it was used now. */
  touch(key: string): Promise<void>;
  /** Whether nobody has moved a name of the tree since it was built or compared; in microseconds a directory. */
  isAsBuilt(key: string, signal: AbortSignal): Promise<boolean>;
  /** Compares what is there with what it must be; undefined where nothing is. One without a problem is as built from now on. */
  compare(
    key: string,
    tree: DirectoryNode,
    signal: AbortSignal,
  ): Promise<{ readonly problem: string | undefined } | undefined>;
  /** No look at it says that it is as built, until it is compared. */
  distrust(key: string): void;
  /** Whether the tree shows one of these inodes. */
  shows(key: string, inodes: readonly bigint[], signal: AbortSignal): Promise<boolean>;
  /** Gives a tree another record, of another key. Whoever shows it goes on; nobody finds it by its old key. */
  setAside(key: string, as: ViewRecord): Promise<void>;
  remove(key: string): Promise<void>;
  list(): Promise<readonly View[]>;
  /** Those that are made of an item. Only the first call reads the records. */
  holding(item: Item): Promise<readonly View[]>;
};

/** The file system of the state dir, from statfs. */
export type DiskUsage = {
  readonly totalBytes: number;
  readonly usedBytes: number;
  /** Less than total - used where a filesystem keeps a reserve for root. */
  readonly availableBytes: number;
  /** 0 where the filesystem does not count inodes. */
  readonly totalInodes: number;
  readonly usedInodes: number;
};
/** What tar layers take of the disk, as their last unpacking showed. */
export type LayerSizes = {
  get(digest: Digest): { readonly bytes: number; readonly inodes: number } | undefined;
  set(digest: Digest, size: { readonly bytes: number; readonly inodes: number }): void;
};

export type Disk = { usage(): Promise<DiskUsage> };
