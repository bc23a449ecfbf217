import type { Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Pod } from '../request.ts';

/** A full reference's last answer from its registry. */
export type NameRecord = {
  /** formatReference of the full reference. */
  readonly reference: string;
  /** What it resolved to; an index's own digest. */
  readonly descriptor: Descriptor;
  readonly resolvedAt: number;
  readonly authorised: 'anonymous' | 'credential' | 'local';
};

export type Names = {
  find(reference: string): Promise<NameRecord | undefined>;
  put(record: NameRecord): Promise<void>;
  remove(reference: string): Promise<void>;
  list(): Promise<readonly NameRecord[]>;
};

/** One volume at one target path: a root of collection. */
export type VolumeRecord = {
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

/** Manifest or index digests that collection must leave, with the reference they were pinned by. */
export type PinRecord = { readonly reference: string; readonly digest: Digest; readonly pinnedAt: number };
export type Pins = {
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

/** The signatures found for an artifact: what was asked for, and the answer as JSON. `subject`: registry/path@digest. */
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
