import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { Target } from './mounter.ts';
import type { DiskUsage } from './store.ts';
import type { VolumeRecord } from './records.ts';
import type { Pod, PublishRequest, PullRequest } from './request.ts';

/** What the ways in (csi, cli, http) can ask for. The implementations are in volume/. */

/** How far a pull is. Sizes are compressed bytes as the registry transfers them; what the cache held counts as done. */
export type Progress = {
  readonly phase: 'resolve' | 'download' | 'unpack' | 'view' | 'done';
  readonly bytes: number;
  readonly totalBytes: number;
  readonly layers: number;
  readonly totalLayers: number;
  /** Over the last ten seconds. */
  readonly bytesPerSecond: number;
  /** The layers that are downloaded or unpacked now; of many the first few. */
  readonly current?: readonly LayerProgress[];
  /** What it waits for, for people. */
  readonly waits?: string;
};

/** A layer under way. `name`: its title, or its media type. */
export type LayerProgress = {
  readonly name: string;
  readonly bytes: number;
  readonly totalBytes: number;
  readonly bytesPerSecond: number;
};

/** A volume as callers see it. */
export type Volume = Omit<VolumeRecord, 'holds'>;

export type Publishing = {
  /** Idempotent. @throws `busy` with the pull's progress when the signal aborts with a DeadlineNear reason, `cancelled` for any other. */
  publish(request: PublishRequest, signal: AbortSignal): Promise<Volume>;
  /** Idempotent; a volume that is not there is success. Answers what was there, where that is known. */
  unpublish(volumeId: string, target: Target, signal: AbortSignal): Promise<Volume | undefined>;
  /** The view's size, never walked, and what was found wrong with what it shows. @throws `not-found`. */
  stats(
    volumeId: string,
    path: string,
  ): Promise<{ readonly bytes: number; readonly inodes: number; readonly damage?: string }>;
};

export type Resolved = {
  /** The full reference that answered. */
  readonly reference: string;
  readonly descriptor: Descriptor;
  /** Whether the manifest that this platform mounts is in the cache. */
  readonly cached: boolean;
};

export type Pulled = {
  readonly reference: string;
  /** What the reference resolved to; an index's own digest. */
  readonly digest: Digest;
  readonly manifest: Digest;
  /** Key and folder of the view, its bytes and inodes. */
  readonly view: string;
  readonly path: string;
  readonly bytes: number;
  readonly inodes: number;
  /** What of the artifact is not shown: names that a later layer took, what was left out. */
  readonly notes: readonly string[];
};

/**
 * For whom a pull is under way, and what they call it. A command wants it for as long as its call waits; a pod also
 * between the calls of kubelet, which have a deadline and come again, until the pod is gone.
 */
export type Wanter = {
  /** The full reference that answered, and what it names; of an index, the index's own digest. */
  readonly reference: string;
  readonly digest: Digest;
  readonly kind: 'command' | 'pod';
  /** Where it is to be mounted. */
  readonly targetPath?: string;
  readonly pod?: Pod;
};

/** A pull under way, a row of `status`. */
export type PullStatus = {
  /** Milliseconds since 1970. */
  readonly since: number;
  readonly progress: Progress;
  /** At least one; those of a pod may be between two calls. */
  readonly wanters: readonly Wanter[];
};

/** One artifact of the cache, a row of `ls`. */
export type ArtifactSummary = {
  readonly reference: string;
  readonly digest: Digest;
  readonly artifactType: string;
  readonly bytes: number;
  /** When it was last pulled or unmounted, in milliseconds since 1970; 0 if nobody knows. */
  readonly usedAt: number;
  readonly pinned: boolean;
  /** How many volumes show it now. */
  readonly volumes: number;
};

export type LayerDetail = {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly size: number;
  /** The name in the tree, or the folder a tar is unpacked at; empty for the root. */
  readonly name: string;
  readonly form: 'file' | 'unpacked';
  readonly held: boolean;
};

export type ArtifactDetail = {
  /** The full reference that was asked for; of a digest alone, one that names it. */
  readonly reference: string;
  /** Further references of the cache that name it. */
  readonly otherNames: readonly string[];
  readonly digest: Digest;
  readonly manifest: Digest;
  readonly kind: 'artifact' | 'image';
  readonly mediaType: string;
  readonly artifactType: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly layers: readonly LayerDetail[];
  readonly pinned: boolean;
  /** The verdict of the node's signature policy, by the signatures that the node keeps. */
  readonly verdict: string;
  readonly volumes: readonly string[];
  /** What of it the views in the cache do not show. */
  readonly notes: readonly string[];
};

/** A pod as people name it. */
export type PodName = { readonly namespace: string; readonly name: string };

/** Where a reference is asked for, host and repository, and what each source has to show there, in a line each. */
export type PlaceCredentials = { readonly place: string; readonly sources: readonly string[] };

export type Freed = { readonly artifacts: number; readonly bytes: number };

/** What was freed, or would be, in parts: a name with what only it held, or content without a name. */
export type Pruned = Freed & { readonly items: readonly FreedItem[] };
export type FreedItem = { readonly reference?: string; readonly digest: Digest; readonly bytes: number };

/** A name that was removed, and what else holds some of its content, which stays: references, pins and volumes, in words. */
export type Removed = Freed & {
  readonly reference: string;
  readonly digest: Digest;
  readonly keptBy: readonly string[];
};

/**
 * `refused`: why the node's policy would not let it be mounted now; what is mounted stays. `damaged`: what was found wrong
 * with what it shows; a new pod gets the right bytes.
 */
export type VolumeStatus = Volume & {
  readonly mounted: boolean;
  readonly refused?: string;
  readonly damaged?: string;
};

/** How this node is. `daemon` is absent where a command works without one. */
export type NodeStatus = {
  readonly stateDir: string;
  readonly disk: DiskUsage;
  readonly cacheBytes: number;
  /** Files of the configuration that are broken, a line each. */
  readonly problems: readonly string[];
  /** What is good to know, a line each. */
  readonly facts: readonly string[];
  readonly daemon?: DaemonStatus;
};

/** `notReady`: why no volume can be published now, a line each. `off`: something else registers the driver with kubelet. */
export type DaemonStatus = {
  readonly version: string;
  readonly driverName: string;
  readonly notReady: readonly string[];
  readonly registration: 'off' | 'waiting' | 'registered';
};

/** Something fsck found wrong. `repaired`: out of use, so that it is pulled or built anew. */
export type Finding = { readonly path: string; readonly problem: string; readonly repaired: boolean };

export type Artifacts = {
  status(): Promise<NodeStatus>;
  resolve(
    reference: string,
    secrets: Readonly<Record<string, string>>,
    signal: AbortSignal,
    onProgress?: (progress: Progress) => void,
  ): Promise<Resolved>;
  pull(request: PullRequest, onProgress: (progress: Progress) => void, signal: AbortSignal): Promise<Pulled>;
  /** The pulls under way that have something to download or to build. */
  pulls(): Promise<readonly PullStatus[]>;
  /**
   * Ends the pulls under way of a reference or digest, whoever wants them, and answers how many these were. A pod that
   * still wants it begins again when kubelet asks the next time. @throws `not-found`.
   */
  cancel(reference: string): Promise<number>;
  list(): Promise<readonly ArtifactSummary[]>;
  /** From the cache alone. @throws `not-found`. */
  inspect(reference: string): Promise<ArtifactDetail>;
  /**
   * Where credentials for a reference are looked for, without a secret; the registry is not asked. With `pod`, as if that
   * pod mounted it; of kubelet's tokens there is none.
   *
   * @throws `denied` for a pod while the Kubernetes API is off; `not-found` for one that is not there.
   */
  explain(
    reference: string,
    asker: { readonly secrets: Readonly<Record<string, string>>; readonly pod?: PodName },
    signal: AbortSignal,
  ): Promise<readonly PlaceCredentials[]>;
  /** Forgets a reference and frees what only it held. @throws `denied` while a volume or a pin holds it. */
  remove(reference: string): Promise<Removed>;
  /** Frees all that no volume, flight or pin holds. */
  prune(signal: AbortSignal): Promise<Pruned>;
  /** What `prune` would free now; nothing is freed. */
  previewPrune(signal: AbortSignal): Promise<Pruned>;
  /** Pins a reference with the digest that it names. @throws `invalid` for a digest that has several names. */
  pin(reference: string): Promise<Digest>;
  /**
   * Ends the pin of a reference, whatever it names now; all pins of a digest; or, of a repository and a digest, those of
   * that repository with it. @throws `not-found`.
   */
  unpin(reference: string): Promise<void>;
  volumes(): Promise<readonly VolumeStatus[]>;
  /** Takes an OCI image layout as a tar stream. `reference` names its one artifact, else annotations name them. */
  load(
    tar: AsyncIterable<Uint8Array>,
    reference: string | undefined,
    signal: AbortSignal,
  ): Promise<readonly Resolved[]>;
  /** Verifies the whole cache, no faster than its findings are taken. */
  fsck(
    repair: boolean,
    onFinding: (finding: Finding) => void | Promise<void>,
    signal: AbortSignal,
    onProgress?: (progress: Pick<Progress, 'bytes' | 'totalBytes'>) => void,
  ): Promise<{ readonly checked: number }>;
};
