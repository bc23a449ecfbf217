import type { MountFlag } from './request.ts';

/** What is at a target path now. `mounted` counts stacked mounts; `view` is the folder that the top one shows. */
export type TargetState =
  | { readonly kind: 'absent' }
  | { readonly kind: 'empty' }
  | { readonly kind: 'occupied'; readonly entry: string }
  | { readonly kind: 'mounted'; readonly shows: 'view' | 'other' | 'dead'; readonly readOnly: boolean };

export type Mounter = {
  /**
   * What is at the target; `view` is the directory that should be mounted there, undefined before it is known.
   *
   * @throws `invalid` for a symlink in the path, or a path outside; without `view` also for a target where none may be
   *   mounted.
   */
  state(target: Target, view: string | undefined): Promise<TargetState>;
  /**
   * Makes the last element and mounts the view on it: read-only, nosuid, nodev from its first visible moment. Undoes what
   * it did before it throws.
   *
   * @throws `invalid`; `exists` when the target is not an empty directory; `denied` when the kernel refuses;
   *   `unavailable` where the pod would not see it.
   */
  mount(view: string, target: Target, flags: readonly MountFlag[]): Promise<void>;
  /** Takes away every mount stacked there and the folder itself, unless it is kept; nothing there is success. @throws `unmountable` naming an entry when the folder is not empty afterwards. */
  unmount(target: Target): Promise<void>;
  /** Every mount of a folder below `root` (views), with its mount point; from mountinfo, for the scan at start. */
  list(root: string): Promise<readonly MountedView[]>;
};

export type Target = {
  readonly path: string;
  readonly anywhere: boolean;
  /** The folder was there before the volume, and stays. */
  readonly keepsFolder?: boolean;
};
export type MountedView = { readonly target: string; readonly source: string; readonly dead: boolean };
