import type { Digest } from '../oci/digest.ts';
import type { Platform } from '../oci/platform.ts';

/** kubelet's image pull policies, applied to artifacts. */
export type PullPolicy = 'Always' | 'IfNotPresent' | 'Never';

/** Which part of an artifact a volume shows. The selection and the manifest's digest determine the view. */
export type Selection = {
  readonly unpack: 'auto' | 'never' | 'always';
  /** Globs over layer names (util/glob.ts); empty means all. */
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  /** A path in the merged tree, or undefined for its root. */
  readonly subPath?: string;
};

/** What to pull. `secrets` are those of the call; they are never logged, recorded or compared. */
export type PullRequest = {
  /** As the user wrote it: short or full. */
  readonly reference: string;
  /** What the reference resolved to when this volume was first mounted. The volume shows it for as long as it lives. */
  readonly pinned?: Digest;
  /** Undefined: Always for `:latest` or no tag, else IfNotPresent. */
  readonly pullPolicy?: PullPolicy;
  /** Undefined: the node's platform. */
  readonly platform?: Platform;
  readonly selection: Selection;
  readonly secrets: Readonly<Record<string, string>>;
  /** An administrator, and the list of --prefetch, may read all of the node; a pod, what its registry grants. */
  readonly caller: 'administrator' | 'prefetch' | 'pod';
  readonly pod?: Pod;
  /** Why the pod of a volume is not known, in words. */
  readonly podUnknown?: string;
  /** Set for a prefetch of a namespace: it may read what a pod of that namespace may read. */
  readonly namespace?: string;
  /** Content that the administrator provides with the request: no registry is asked whether its repository has it. */
  readonly brought?: ReadonlySet<Digest>;
  /** Where the volume will be mounted. */
  readonly targetPath?: string;
  /** `onDemand`: the volume may be mounted while its large layers still come. Undefined: all of it comes before. */
  readonly loading?: 'full' | 'onDemand';
  /** The key of a late view that this continues, for a volume that shows it. */
  readonly late?: string;
  /** The pod's own copy of the mount will be writable: only an image may be mounted. */
  readonly isWritable?: boolean;
};

/** The pod of a volume, as kubelet names it. Its uid is also in the target path. */
export type Pod = {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly serviceAccount?: string;
};

export type PublishRequest = PullRequest & {
  readonly volumeId: string;
  /** Absolute; below kubelet's directory unless `anywhere` is set. */
  readonly targetPath: string;
  /** True for a volume of the command line, whose target may be anywhere. */
  readonly anywhere: boolean;
  readonly mountFlags: readonly MountFlag[];
  /**
   * Everything that must be equal for two calls to be the same request: volume id, access type and mode, readonly,
   * mount flags, and all attributes but those of Kubernetes. Canonical JSON.
   */
  readonly fingerprint: string;
};

/** Mount flags that a volume may ask for. ro, nosuid and nodev always apply. */
export type MountFlag = 'ro' | 'noexec' | 'nosuid' | 'nodev' | 'noatime';
