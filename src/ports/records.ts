import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { Pod } from './request.ts';

/** A root of garbage collection: no digest that a root lists is removed. */
export type Root = {
  /**
   * Every digest from the reference to the view: indexes, manifest, config if it was read, layers. Empty in a record of
   * an older version, until the next start.
   */
  readonly holds: readonly Digest[];
};

/** What a full reference resolved to last. Garbage collection ends these roots, least recently used first. */
export type NameRecord = Root & {
  /** The full reference, as `formatReference` writes it. */
  readonly reference: string;
  /** What it resolved to. For an index, the descriptor of the index. */
  readonly descriptor: Descriptor;
  /** When the record was last written, in milliseconds since 1970. */
  readonly resolvedAt: number;
  readonly authorised: 'anonymous' | 'credential' | 'local';
  /** When it was last pulled or unmounted, in milliseconds since 1970. */
  readonly usedAt: number;
};

export type Names = {
  find(reference: string): Promise<NameRecord | undefined>;
  put(record: NameRecord): Promise<void>;
  /** Waits until a power cut would not take the record. @throws why it could not be written; the signal's reason. */
  settle(reference: string, signal: AbortSignal): Promise<void>;
  /** Sets the time of last use to now. Succeeds if there is no such name. */
  touch(reference: string): Promise<void>;
  remove(reference: string): Promise<void>;
  list(): Promise<readonly NameRecord[]>;
};

/** A volume at a target path. Garbage collection never ends these roots. */
export type VolumeRecord = Root & {
  readonly volumeId: string;
  readonly targetPath: string;
  readonly fingerprint: string;
  readonly anywhere: boolean;
  /** The target directory existed before the volume, and stays after it. The name is that on disk. Never set for a pod. */
  readonly keepsFolder?: boolean;
  /** As the user wrote it. */
  readonly reference: string;
  /** The full reference that the registry or the cache resolved. */
  readonly resolved: string;
  /** What the reference resolved to. For an index, the digest of the index. */
  readonly digest: Digest;
  readonly manifest: Digest;
  /** Key of the view, and the numbers that NodeGetVolumeStats reports. */
  readonly view: string;
  readonly bytes: number;
  readonly inodes: number;
  readonly pod?: Pod;
  readonly publishedAt: number;
};

export type VolumeRecords = {
  find(targetPath: string): Promise<VolumeRecord | undefined>;
  put(record: VolumeRecord): Promise<void>;
  remove(targetPath: string): Promise<void>;
  /** Lists the records. Leaves out torn and unreadable ones. */
  list(): Promise<readonly VolumeRecord[]>;
  /**
   * The same without the digests, of which many volumes may have megabytes. It reads a record again only if its file
   * has changed, so that a status costs little.
   */
  listBrief(): Promise<readonly Brief<VolumeRecord>[]>;
};

/** A root without what only garbage collection needs. */
export type Brief<T> = Omit<T, keyof Root>;

/**
 * A complete list, which garbage collection needs. @throws `internal` naming a record that cannot be read; `list`
 * leaves it out.
 */
export type Complete<T> = { listAll(): Promise<readonly T[]> };

/**
 * An artifact that an administrator keeps, by the reference that was pinned. Garbage collection never ends these roots.
 */
export type PinRecord = Root & {
  readonly reference: string;
  /** Digest of a manifest or an index. */
  readonly digest: Digest;
  readonly pinnedAt: number;
  /** Set for a pin of the list of --prefetch, which ends with the entry of the list. */
  readonly by?: 'prefetch';
};
export type Pins = {
  find(reference: string): Promise<PinRecord | undefined>;
  put(record: PinRecord): Promise<void>;
  remove(reference: string): Promise<void>;
  list(): Promise<readonly PinRecord[]>;
};

/** Which callers a repository has admitted, and which content was seen in it. `secrets` are salted hashes. */
export type AccessRecord = {
  /** The repository, as `formatRepository` writes it. */
  readonly repository: string;
  readonly anonymous: boolean;
  readonly node: boolean;
  /** Service accounts, as namespace/name. */
  readonly accounts: readonly string[];
  /** uids of pods. */
  readonly pods: readonly string[];
  readonly secrets: readonly string[];
  /** Content that its registry served or confirmed, or that was loaded, except that of `open`. */
  readonly digests: readonly Digest[];
  /** Content that its registry served or confirmed without any credential. */
  readonly open: readonly Digest[];
  /** Content that mirrors served for the repository and that its registry has not confirmed. */
  readonly mirrored: readonly Digest[];
  /** Content that an administrator loaded for every pod. Each is among `digests` or `open`, too. */
  readonly loaded: readonly Digest[];
};
export type Accesses = {
  put(record: AccessRecord): Promise<void>;
  remove(repository: string): Promise<void>;
  list(): Promise<readonly AccessRecord[]>;
};

/**
 * The signatures of an artifact, kept so that they can be verified again without the network. Each answer of the
 * registry is stored as JSON under its question. They are verified at each use. `subject`: registry/path@digest.
 */
export type SignatureRecord = {
  readonly subject: string;
  readonly answers: Readonly<Record<string, string>>;
};
export type SignatureRecords = {
  find(subject: string): Promise<SignatureRecord | undefined>;
  put(record: SignatureRecord): Promise<void>;
  remove(subject: string): Promise<void>;
  list(): Promise<readonly SignatureRecord[]>;
};
