import type { MountedView } from './contracts/mounter.ts';

/** A mount that shows the view at a path, or a part of it; undefined if none does. */
export function findShowing(mounts: readonly MountedView[], viewPath: string): MountedView | undefined {
  return mounts.find(({ source }) => source === viewPath || source.startsWith(`${viewPath}/`));
}
