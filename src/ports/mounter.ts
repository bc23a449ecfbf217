import type { MountFlag } from './request.ts';
import type { View } from './store.ts';

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

/** What shows a view: its tree, or its image. */
export type ShownView = Pick<View, 'path' | 'image'>;

/** The mounts of images, one for each image on a node: volumes that show it are binds of that. */
export type ImageMounts = {
  /** Returns the directory that shows a view: its tree, or the mount of its image, which may be missing. */
  shown(view: ShownView): string;
  /** Mounts the image of a view, unless it is mounted. Without an image it does nothing. @throws `denied`; `internal`. */
  raise(view: ShownView): void;
  /** Unmounts all images that no volume shows. Returns why some could not be. */
  tidy(): readonly string[];
};

export type Target = {
  readonly path: string;
  readonly anywhere: boolean;
  /** The directory existed before the volume, and stays. */
  readonly keepsDirectory?: boolean;
};
export type MountedView = { readonly target: string; readonly source: string; readonly dead: boolean };
