import type { MountedView } from '../../ports/mounter.ts';

/** Finds a mount that shows the view with a key, or a part of it; undefined if there is none. */
export function findShowing(
  mounts: readonly MountedView[],
  viewsDirectory: string,
  key: string,
): MountedView | undefined {
  return mounts.find(mount => shownKey(mount, viewsDirectory) === key);
}

/** The keys of the views that mounts show, or parts of which they show. */
export function shownKeys(mounts: readonly MountedView[], viewsDirectory: string): ReadonlySet<string> {
  return new Set(mounts.map(mount => shownKey(mount, viewsDirectory)).filter(key => key !== undefined));
}

/**
 * The key of the view that a mount shows, or a part of which it shows; undefined if it shows none. The name of a view
 * begins with its key, which has no dot.
 */
export function shownKey({ source }: MountedView, viewsDirectory: string): string | undefined {
  if (!source.startsWith(`${viewsDirectory}/`)) return undefined;
  return source.slice(viewsDirectory.length + 1).split(/[./]/, 1)[0];
}

/** The targets that show damaged content, for the end of a sentence. */
export function formatShown(targets: readonly string[]): string {
  if (targets.length === 0) return '';
  return targets.length === 1
    ? `; ${targets[0]} shows it: delete that pod, and a new one gets the right bytes`
    : `; ${targets.join(', ')} show it: delete those pods, and new ones get the right bytes`;
}
