import type { Credential, Keyring } from '../oci/credential.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { Endpoint } from '../oci/endpoint.ts';
import type { Reference } from '../oci/reference.ts';
import type { TocEntry, TocSummary } from '../oci/toc.ts';
import type { DirectoryNode } from '../oci/tree.ts';
import type { MountFlag, Pod, PullRequest } from './request.ts';

/**
 * What the use cases need of the world. Each is small, so that a test or another adapter can satisfy it; daemon.ts
 * chooses the adapters. Wherever something can wait, an AbortSignal comes last.
 */

// ---- registries ---------------------------------------------------------------------------------------------------

/** Completes what users write from the node's configuration. */
export type Expander = {
  /** Full references to try in order; one for a full reference. @throws `invalid`, or `denied` for a blocked registry. */
  expand(text: string): readonly Reference[];
};

/** The word of the node's administrator on which pods may have which artifacts. */
export type AccessPolicy = {
  /**
   * Judges one full reference before anybody is asked for it.
   *
   * @throws `denied` naming the rule; `unavailable` where what the rule asks for cannot be read; the signal's reason.
   */
  verify(
    reference: Reference,
    request: Pick<PullRequest, 'caller' | 'pod'>,
    signal: AbortSignal,
  ): Promise<void>;
};

/** Knows what callers have to show to registries. */
export type Keychain = {
  open(caller: Caller): Keyring;
  /** Each source in its order and what it has for a place, in a line each, without a secret. */
  explain(place: Endpoint, caller: Caller, signal: AbortSignal): Promise<readonly string[]>;
};

/** The pods of the cluster. */
export type Pods = {
  /** @throws `not-found`; what the Kubernetes API answers. */
  find(pod: { readonly namespace: string; readonly name: string }, signal: AbortSignal): Promise<Pod>;
};

/** Whom a call is for, as far as credentials go; `secrets` are those of the call. */
export type Caller = { readonly secrets: Readonly<Record<string, string>>; readonly pod?: Pod };

/**
 * A client of the OCI distribution API. Retries by itself what may pass (429, 5xx, connections, cuts in mid-blob).
 * @throws `not-found`, `unauthenticated`, `denied`, `unavailable`, `corrupt`, `cancelled`; `unmountable` for a manifest
 *   above 4 MiB.
 */
export type Registry = {
  /** What a tag or digest names, by HEAD where the registry answers it with a digest; and what it was shown for that. */
  resolve(reference: Reference, keyring: Keyring, signal: AbortSignal): Promise<Found>;
  /** A manifest's or index's bytes, verified against the descriptor; 4 MiB at most. And who gave it. */
  manifest(
    reference: Reference,
    descriptor: Descriptor,
    keyring: Keyring,
    signal: AbortSignal,
  ): Promise<{ readonly bytes: Uint8Array; readonly place: Giver }>;
  /** Whether the repository has it, by HEAD; false only where the registry says so. */
  has(reference: Reference, content: Content, keyring: Keyring, signal: AbortSignal): Promise<boolean>;
  /** What refers to a manifest; undefined if the registry keeps no such list (OCI distribution spec, "Listing Referrers"). */
  referrers(
    reference: Reference,
    digest: Digest,
    keyring: Keyring,
    signal: AbortSignal,
  ): Promise<readonly Descriptor[] | undefined>;
  /** Streams a blob into a sink from `sink.offset` on, and returns when all of `descriptor.size` bytes are in it. Of bytes that mirrors sent it asks the sink whether they are right; those of the registry itself are the caller's to verify. Answers who gave it: the registry itself if it gave any of it, else a mirror. */
  blob(
    reference: Reference,
    descriptor: Descriptor,
    sink: Sink,
    keyring: Keyring,
    signal: AbortSignal,
  ): Promise<Giver>;
};

/** The registry itself, or a mirror of it, which may give what it has to anybody. */
export type Giver = Pick<Endpoint, 'mirrorOf'>;

/** What a repository is asked about. */
export type Content = { readonly kind: 'manifest' | 'blob'; readonly descriptor: Descriptor };

/** `place` is where it was asked. */
export type Found = {
  readonly place: Giver;
  readonly descriptor: Descriptor;
  readonly credential: Credential;
};

/** Where the bytes of a download go. */
export type Sink = {
  /** Bytes taken so far. */
  readonly offset: number;
  /** Takes the chunk before it returns; the caller uses its memory again at once. @throws when the disk is full. */
  write(chunk: Uint8Array): void;
  /** Forgets everything taken: the registry starts again at byte 0. */
  restart(): void;
  /**
   * Checks size and digest; it may be asked again. On a mismatch it is as after `restart`. The registry's client asks
   * where mirrors filled it, so that another place can be asked; without it, the client hashes what mirrors send.
   *
   * @throws `corrupt` saying which.
   */
  verify?(): Promise<void>;
};

// ---- the store ----------------------------------------------------------------------------------------------------

export type Held = {
  readonly digest: Digest;
  readonly bytes: number;
  readonly inodes: number;
  readonly since: number;
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
   * Opens or resumes the one download of this digest from this source: bytes already there are hashed first, and those
   * of another source are left alone. @throws `busy` if it is open.
   */
  ingest(descriptor: Descriptor, source: string, signal: AbortSignal): Promise<Ingest>;
  path(digest: Digest): string;
  /** Hashes it again. Returns what is wrong with it, or undefined. */
  check(digest: Digest, signal: AbortSignal): Promise<string | undefined>;
  remove(digest: Digest): Promise<void>;
  list(): Promise<readonly Held[]>;
};

/** A download under way. Disposing it keeps the partial file for a resume, except after `drop`. */
export type Ingest = Sink &
  AsyncDisposable & {
    /** The partial file. */
    readonly path: string;
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
  /** An empty folder to unpack into. Disposed without commit, it is removed. */
  stage(digest: Digest): Promise<Stage>;
  path(digest: Digest): string;
  /** Hashes the table of contents and every body again. Returns what is wrong, or undefined. */
  check(digest: Digest, signal: AbortSignal): Promise<string | undefined>;
  remove(digest: Digest): Promise<void>;
  list(): Promise<readonly Held[]>;
};

export type Stage = AsyncDisposable & {
  /** Where the bodies and their table of contents are written. */
  readonly path: string;
  commit(summary: TocSummary): Promise<void>;
};

/** Unpacks a verified layer file into a folder of the store, in a thread of its own. @throws `unmountable` naming the entry; `exhausted`. */
export type Unpacker = {
  unpack(source: string, digest: Digest, into: string, signal: AbortSignal): Promise<TocSummary>;
};

/** Reads an archive as it streams by: each regular file with its size in bytes; its content must be read before the next. */
export type Archive = {
  read(tar: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncIterable<ArchiveEntry>;
};
export type ArchiveEntry = {
  readonly path: string;
  readonly size: number;
  readonly content: AsyncIterable<Uint8Array>;
};

/** What kubelet has on this node. */
export type Kubelet = {
  /** Whether the pod still has its folder. */
  hasPod(uid: string): Promise<boolean>;
};

/** What a view is made of and when it was last used; kept beside the view. */
export type ViewRecord = {
  readonly key: string;
  readonly manifest: Digest;
  /** A full reference it was pulled by, for people. */
  readonly reference: string;
  readonly artifactType?: string;
  /** Everything it holds in `blobs/`: index, manifest, config where held, file layers. */
  readonly blobs: readonly Digest[];
  /** Everything it holds in `layers/`. */
  readonly layers: readonly Digest[];
  readonly bytes: number;
  readonly inodes: number;
};

export type View = ViewRecord & { readonly path: string; readonly usedAt: number };

/** Merged trees. */
export type Views = {
  find(key: string): Promise<View | undefined>;
  /** Builds aside, then renames; never changes what is there. Links files from blobs and layers (copies at EMLINK). */
  build(record: ViewRecord, tree: DirectoryNode, signal: AbortSignal): Promise<View>;
  /** Notes that it was used now. */
  touch(key: string): Promise<void>;
  remove(key: string): Promise<void>;
  list(): Promise<readonly View[]>;
};

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
  /** Torn records are left out. */
  list(): Promise<readonly VolumeRecord[]>;
};

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
  readonly mirrored?: readonly Digest[];
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

/** The file system of the state dir, from statfs. */
export type DiskUsage = {
  readonly totalBytes: number;
  readonly usedBytes: number;
  readonly availableBytes: number;
  readonly totalInodes: number;
  readonly usedInodes: number;
};
export type Disk = { usage(): Promise<DiskUsage> };

// ---- mounts -------------------------------------------------------------------------------------------------------

/** What is at a target path now. `mounted` counts stacked mounts; `view` is the folder that the top one shows. */
export type TargetState =
  | { readonly kind: 'absent' }
  | { readonly kind: 'empty' }
  | { readonly kind: 'occupied'; readonly entry: string }
  | { readonly kind: 'mounted'; readonly shows: 'view' | 'other' | 'dead'; readonly readOnly: boolean };

export type Mounter = {
  /** What is at the target; `view` is the folder that should be mounted there. @throws `invalid` for a symlink in the path, or a path outside. */
  state(target: Target, view: string | undefined): Promise<TargetState>;
  /** Makes the last element and mounts the view on it: read-only, nosuid, nodev from its first visible moment. Undoes what it did before it throws. */
  mount(view: string, target: Target, flags: readonly MountFlag[]): Promise<void>;
  /** Takes away every mount stacked there and the folder itself; nothing there is success. @throws `unmountable` naming an entry when the folder is not empty afterwards. */
  unmount(target: Target): Promise<void>;
  /** Every mount of a folder below `root` (views), with its mount point; from mountinfo, for the scan at start. */
  list(root: string): Promise<readonly MountedView[]>;
};

export type Target = { readonly path: string; readonly anywhere: boolean };
export type MountedView = { readonly target: string; readonly source: string; readonly dead: boolean };

// ---- trust ----------------------------------------------------------------------------------------------------------

/** Whether a policy lets an artifact be mounted; `why` names the file and field to change. */
export type Verdict =
  | { readonly kind: 'accepted'; readonly by: string }
  | { readonly kind: 'refused'; readonly why: string };

/** Judges by the node's policy what a full reference resolved to. @throws what `signatures` throws. */
export type Trust = {
  verify(
    reference: Reference,
    digest: Digest,
    signatures: SignatureSource,
    signal: AbortSignal,
  ): Promise<Verdict>;
};

/** A repository, as far as signatures need it. Bytes are verified, and 4 MiB at most. */
export type SignatureSource = {
  /** A tag's manifest or index; undefined if there is no such tag. */
  tag(
    name: string,
    signal: AbortSignal,
  ): Promise<{ readonly bytes: Uint8Array; readonly descriptor: Descriptor } | undefined>;
  referrers(digest: Digest, signal: AbortSignal): Promise<readonly Descriptor[] | undefined>;
  manifest(descriptor: Descriptor, signal: AbortSignal): Promise<Uint8Array>;
  blob(descriptor: Descriptor, signal: AbortSignal): Promise<Uint8Array>;
};

// ---- what is measured ----------------------------------------------------------------------------------------------

/** Counters of the daemon; http/metrics.ts has them as Prometheus series. */
export type Meter = {
  bytesPulled(registry: string, bytes: number): void;
  pullStarted(): void;
  pullEnded(outcome: 'ok' | 'error' | 'cancelled'): void;
};
