import type { Digest } from '../oci/digest.ts';
import type { Platform } from '../oci/platform.ts';

/** kubelet's rule for images, applied to artifacts. */
export type PullPolicy = 'Always' | 'IfNotPresent' | 'Never';

/** Which part of an artifact a volume shows; with the manifest's digest it decides the view. */
export type Selection = {
  readonly unpack: 'auto' | 'never' | 'always';
  /** Globs over layer names (util/glob.ts); empty means all. */
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  /** A path in the merged tree, or undefined for its root. */
  readonly subPath?: string;
};

/** What to bring into the cache. `secrets` are those of the call and are never logged, recorded or compared. */
export type PullRequest = {
  /** As the user wrote it: short or full. */
  readonly reference: string;
  /** What the reference named when this volume was first mounted: it is what the volume shows for as long as it lives. */
  readonly pinned?: Digest;
  /** Undefined: Always for `:latest` or no tag, else IfNotPresent. */
  readonly pullPolicy?: PullPolicy;
  /** Undefined: the node's own. */
  readonly platform?: Platform;
  readonly selection: Selection;
  readonly secrets: Readonly<Record<string, string>>;
  /** An administrator of the node may have all that is on it; a pod what its registry says. */
  readonly caller: 'administrator' | 'pod';
  readonly pod?: Pod;
  /** What the administrator brings with it: no registry is asked whether that is in its repository. */
  readonly brought?: ReadonlySet<Digest>;
  /** Where a volume of it is to be. */
  readonly targetPath?: string;
};

/** Whom a volume is for, where kubelet says so: its uid is the one in the target path. */
export type Pod = {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly serviceAccount?: string;
};

export type PublishRequest = PullRequest & {
  readonly volumeId: string;
  /** Absolute, below the kubelet folder unless `anywhere`. */
  readonly targetPath: string;
  /** True for a volume of the command line: its target may lie anywhere. */
  readonly anywhere: boolean;
  readonly mountFlags: readonly MountFlag[];
  /**
   * Everything that must be equal for two calls to be the same request: volume id, access type and mode, readonly,
   * mount flags, and all attributes but Kubernetes' own. Canonical JSON.
   */
  readonly fingerprint: string;
};

/** Mount flags that a volume may ask for; ro, nosuid and nodev hold whether asked or not. */
export type MountFlag = 'ro' | 'noexec' | 'nosuid' | 'nodev' | 'noatime';
