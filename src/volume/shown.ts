import type { MountedView } from './contracts/mounter.ts';

/** A mount that shows the view at a path, or a part of it; undefined if none does. */
export function findShowing(mounts: readonly MountedView[], viewPath: string): MountedView | undefined {
  return mounts.find(mount => shows(mount, viewPath));
}

/** All of them. */
export function findAllShowing(mounts: readonly MountedView[], viewPath: string): readonly MountedView[] {
  return mounts.filter(mount => shows(mount, viewPath));
}

function shows({ source }: MountedView, viewPath: string): boolean {
  return source === viewPath || source.startsWith(`${viewPath}/`);
}
