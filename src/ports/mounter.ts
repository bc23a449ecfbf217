import type { MountFlag } from './request.ts';

/** The state of a target path. `mounted` counts stacked mounts; `view` is the directory that the top one shows. */
export type TargetState =
  | { readonly kind: 'absent' }
  | { readonly kind: 'empty' }
  | { readonly kind: 'occupied'; readonly entry: string }
  | { readonly kind: 'mounted'; readonly shows: 'view' | 'other' | 'dead'; readonly readOnly: boolean };

export type Mounter = {
  /**
   * Reads the state of the target. `view` is the directory that should be mounted there; undefined if it is not known
   * yet.
   *
   * @throws `invalid` if the path contains a symlink or leaves kubelet's directory; without `view`, also if nothing may
   * be mounted at the target.
   */
  state(target: Target, view: string | undefined): Promise<TargetState>;
  /**
   * Creates the target directory and mounts the view on it. The mount is read-only, nosuid and nodev before it becomes
   * visible. Undoes its steps before it throws.
   *
   * @throws `invalid`; `exists` if the target is not an empty directory; `denied` if the kernel refuses; `unavailable`
   * if the mount would not propagate to the pod.
   */
  mount(view: string, target: Target, flags: readonly MountFlag[]): Promise<void>;
  /**
   * Removes every mount stacked at the target, and the directory unless it is kept. Succeeds if neither exists.
   *
   * @throws `unmountable` naming an entry, if the directory is not empty afterwards.
   */
  unmount(target: Target): Promise<void>;
  /**
   * The same at a target that no record names: what is mounted there must be a view, of this or an earlier state
   * directory.
   *
   * @throws `unmountable` too if something else is mounted there, which stays.
   */
  unmountView(target: Target): Promise<void>;
  /** Lists the mounts of directories below `root` (views) with their mount points, from mountinfo. */
  list(root: string): Promise<readonly MountedView[]>;
};

export type Target = {
  readonly path: string;
  readonly anywhere: boolean;
  /** The directory existed before the volume, and stays. */
  readonly keepsDirectory?: boolean;
};
export type MountedView = { readonly target: string; readonly source: string; readonly dead: boolean };
