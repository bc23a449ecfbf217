import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { Pod } from './request.ts';

/** A root of reachability: collection removes only what no root has in its list. */
export type Root = {
  /**
   * Every digest on the way from what the reference named to the view: indexes, manifest, config where it was read,
   * layers. Empty in a record of an older version, until the next start.
   */
  readonly holds: readonly Digest[];
};

/** A full reference's last answer from its registry: a root that collection ends, least recently used first. */
export type NameRecord = Root & {
  /** formatReference of the full reference. */
  readonly reference: string;
  /** What it resolved to; an index's own digest. */
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
  /** Notes that it was used now. A name that is not there is success. */
  touch(reference: string): Promise<void>;
  remove(reference: string): Promise<void>;
  list(): Promise<readonly NameRecord[]>;
};

/** One volume at one target path: a root that collection never touches. */
export type VolumeRecord = Root & {
  readonly volumeId: string;
  readonly targetPath: string;
  readonly fingerprint: string;
  readonly anywhere: boolean;
  /** The folder at the target path was there before the volume, and stays after it; a pod's never does. */
  readonly keepsFolder?: boolean;
  /** As the user wrote it. */
  readonly reference: string;
  /** The full reference that answered. */
  readonly resolved: string;
  /** What the reference resolved to; an index's own digest. */
  readonly digest: Digest;
  readonly manifest: Digest;
  /** Key of the view, and what stats answers for it. */
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
  /** What is torn or cannot be read is left out. */
  list(): Promise<readonly VolumeRecord[]>;
};

/** For who must know them all: collection. @throws `internal` naming one that cannot be read; `list` leaves it out. */
export type Complete<T> = { listAll(): Promise<readonly T[]> };

/** What an administrator keeps, by the reference it was pinned by: a root that collection never touches. */
export type PinRecord = Root & {
  readonly reference: string;
  /** Of a manifest or an index. */
  readonly digest: Digest;
  readonly pinnedAt: number;
};
export type Pins = {
  find(reference: string): Promise<PinRecord | undefined>;
  put(record: PinRecord): Promise<void>;
  remove(reference: string): Promise<boolean>;
  list(): Promise<readonly PinRecord[]>;
};

/** Who has had access to a repository, and what was seen to be in it; `secrets` are salted hashes. */
export type AccessRecord = {
  /** formatRepository. */
  readonly repository: string;
  readonly anonymous: boolean;
  readonly node: boolean;
  /** namespace/name of service accounts. */
  readonly accounts: readonly string[];
  /** uids of pods. */
  readonly pods: readonly string[];
  readonly secrets: readonly string[];
  readonly digests: readonly Digest[];
  /** What mirrors brought for it, with no word of the registry. */
  readonly mirrored: readonly Digest[];
};
export type Accesses = {
  put(record: AccessRecord): Promise<void>;
  remove(repository: string): Promise<void>;
  list(): Promise<readonly AccessRecord[]>;
};

/**
 * The signatures found for an artifact, so that they can be judged again with no network: what was asked for, and the
 * answer as JSON. They are verified each time, never trusted. `subject`: registry/path@digest.
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
