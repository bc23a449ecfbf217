import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { NodeStatus } from './node-status.ts';
import type { LateStatus } from './on-demand.ts';
import type { Brief, VolumeRecord } from './records.ts';
import type { Pod, PullRequest } from './request.ts';

/** The use cases that grpc, cli and http call. volume/ implements them. */

/** Progress of a pull. Sizes are compressed bytes, as the registry transfers them; cached content counts as done. */
export type Progress = {
  readonly phase: 'resolve' | 'download' | 'unpack' | 'build' | 'done';
  readonly bytes: number;
  readonly totalBytes: number;
  readonly layers: number;
  readonly totalLayers: number;
  /** Average over the last ten seconds. */
  readonly bytesPerSecond: number;
  /** The layers being downloaded or unpacked; the first few of many. */
  readonly current?: readonly LayerProgress[];
  /** What the pull waits for, for users. */
  readonly waits?: string;
};

/** A layer in progress. `name`: its title, or its media type. */
export type LayerProgress = {
  readonly name: string;
  readonly bytes: number;
  readonly totalBytes: number;
  readonly bytesPerSecond: number;
};

/** A volume as callers see it. */
export type Volume = Brief<VolumeRecord>;

export type Resolved = {
  /** The full reference that was resolved. */
  readonly reference: string;
  readonly descriptor: Omit<Descriptor, 'data'>;
  /** Whether the manifest for this platform is in the cache. */
  readonly cached: boolean;
};

export type Pulled = {
  readonly reference: string;
  /** What the reference resolved to. For an index, the digest of the index. */
  readonly digest: Digest;
  readonly manifest: Digest;
  /** Key and directory of the view, its bytes and inodes. */
  readonly view: string;
  readonly path: string;
  readonly bytes: number;
  readonly inodes: number;
  /** Names that a later layer replaced, entries that were left out, and a disk from which it may be collected. */
  readonly notes: readonly string[];
};

/**
 * For whom a pull runs, and by which names. A command wants it while its call waits, a prefetch until it ends. A pod
 * also wants it between kubelet's calls, which time out and come again, until the pod is gone.
 */
export type Wanter = {
  /** The full reference; a short name until it is resolved. */
  readonly reference: string;
  /** What it resolved to. For an index, the digest of the index. Absent for a tag that is not resolved yet. */
  readonly digest?: Digest;
  readonly kind: 'command' | 'prefetch' | 'pod';
  readonly targetPath?: string;
  readonly pod?: Pod;
};

/** A pull in progress, a row of `status`. */
export type PullStatus = {
  /** Milliseconds since 1970. */
  readonly since: number;
  readonly progress: Progress;
  /** At least one. Those of a pod may be between two calls. */
  readonly wanters: readonly Wanter[];
};

/** An artifact of the cache, a row of `ls`. */
export type ArtifactSummary = {
  readonly reference: string;
  readonly digest: Digest;
  readonly artifactType: string;
  readonly bytes: number;
  /** When it was last pulled or unmounted, in milliseconds since 1970; 0 if unknown. */
  readonly usedAt: number;
  /**
   * When the content that was verified least recently was verified, in milliseconds since 1970; 0 if some of it was not
   * verified since the node crashed.
   */
  readonly verifiedAt: number;
  readonly pinned: boolean;
  /** How many volumes show it. */
  readonly volumes: number;
};

export type LayerDetail = {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly size: number;
  /** The name in the tree, or the directory where a tar is unpacked; empty for the root, and for what no tree shows. */
  readonly name: string;
  /** No tree shows `chunks`, a chunk list, and `empty`, the empty descriptor. */
  readonly form: 'file' | 'unpacked' | 'chunks' | 'empty';
  readonly held: boolean;
};

export type ArtifactDetail = {
  /** The full reference that was given; for a digest alone, a reference that resolves to it. */
  readonly reference: string;
  /** Further cached references that resolve to it. */
  readonly otherNames: readonly string[];
  readonly digest: Digest;
  readonly manifest: Digest;
  readonly kind: 'artifact' | 'image';
  readonly mediaType: string;
  readonly artifactType: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly layers: readonly LayerDetail[];
  readonly pinned: boolean;
  /** The verdict of the node's signature policy, from the signatures that the node keeps. */
  readonly verdict: string;
  readonly volumes: readonly string[];
  /** What the cached views of it do not show. */
  readonly notes: readonly string[];
  /** The sha256 of each of its images in the cache; trees of hard links have none. */
  readonly viewDigests: readonly Digest[];
};

/** A pod by namespace and name. */
export type PodName = { readonly namespace: string; readonly name: string };

/** An endpoint with its repository, and what each credential source has for it, one line each. */
export type EndpointCredentials = { readonly endpoint: string; readonly sources: readonly string[] };

export type Freed = { readonly artifacts: number; readonly bytes: number };

/** What was freed or would be, item by item: a name with the content that only it needed, or content without a name. */
export type Pruned = Freed & { readonly items: readonly FreedItem[] };
export type FreedItem = { readonly reference?: string; readonly digest: Digest; readonly bytes: number };

/** A name that was removed, and what still needs some of its content: references, pins and volumes, in words. */
export type Removed = Freed & {
  readonly reference: string;
  readonly digest: Digest;
  readonly keptBy: readonly string[];
};

/**
 * `refused`: why a policy of the node would not allow to mount it now; the mount stays. `damaged`: what is wrong with
 * the content that it shows; a new pod gets the right bytes. `loading`: of a volume that was mounted before all of it was
 * here. `viewDigest`: the sha256 of its image.
 */
export type VolumeStatus = Volume & {
  readonly mounted: boolean;
  readonly refused?: string;
  readonly damaged?: string;
  readonly loading?: LateStatus;
  readonly viewDigest?: Digest;
};

/**
 * A problem that fsck found. `artifacts`: references that need it, the first 16. `keptBy`: pods, or targets of other
 * volumes, that alone still have it. `repaired`: it is out of use, so that it is pulled or built again.
 */
export type Finding = {
  readonly path: string;
  readonly problem: string;
  readonly artifacts: readonly string[];
  readonly keptBy: readonly string[];
  readonly repaired: boolean;
};

export type Artifacts = {
  status(): Promise<NodeStatus>;
  resolve(
    reference: string,
    secrets: Readonly<Record<string, string>>,
    signal: AbortSignal,
    onProgress?: (progress: Progress) => void,
  ): Promise<Resolved>;
  pull(request: PullRequest, onProgress: (progress: Progress) => void, signal: AbortSignal): Promise<Pulled>;
  /** The pulls in progress, also those that wait for an answer of the registry. */
  pulls(): Promise<readonly PullStatus[]>;
  /**
   * Ends the pulls of a reference or digest for all callers, and answers their number. A pod that still wants one
   * starts it again when kubelet retries. @throws `not-found`.
   */
  cancel(reference: string): Promise<number>;
  list(): Promise<readonly ArtifactSummary[]>;
  /** Reads the cache only. @throws `not-found`. */
  inspect(reference: string): Promise<ArtifactDetail>;
  /**
   * Lists where credentials for a reference are looked up, without secrets and without asking the registry. With `pod`,
   * as if that pod mounted it, but without kubelet's tokens.
   *
   * @throws `denied` for a pod while the Kubernetes API is off; `not-found` for a pod that does not exist.
   */
  explain(
    reference: string,
    asker: { readonly secrets: Readonly<Record<string, string>>; readonly pod?: PodName },
    signal: AbortSignal,
  ): Promise<readonly EndpointCredentials[]>;
  /** Removes a reference, and content that only it needed. @throws `denied` while a volume or a pin uses it. */
  remove(reference: string): Promise<Removed>;
  /** Frees everything that no volume, pull in progress or pin needs. */
  prune(signal: AbortSignal): Promise<Pruned>;
  /** What `prune` would free now. */
  previewPrune(signal: AbortSignal): Promise<Pruned>;
  /** Pins a reference with the digest that it resolved to. @throws `invalid` for a digest that has several names. */
  pin(reference: string): Promise<Digest>;
  /**
   * Ends the pin of a reference, whatever it resolves to now; all pins of a digest; or the pins of a repository with a
   * digest. @throws `not-found`.
   */
  unpin(reference: string): Promise<void>;
  volumes(): Promise<readonly VolumeStatus[]>;
  /** Loads an OCI image layout from a tar. `reference` names its only artifact; else annotations name them. */
  load(
    tar: AsyncIterable<Uint8Array>,
    reference: string | undefined,
    signal: AbortSignal,
  ): Promise<readonly Resolved[]>;
  /** Verifies the whole cache, at most as fast as its findings are read. */
  fsck(
    repair: boolean,
    onFinding: (finding: Finding) => void | Promise<void>,
    signal: AbortSignal,
    onProgress?: (progress: Pick<Progress, 'bytes' | 'totalBytes'>) => void,
  ): Promise<{ readonly checked: number }>;
};
