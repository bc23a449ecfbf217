import type { MountedView } from '../../ports/mounter.ts';

/** Finds a mount that shows the view at a path, or a part of it; undefined if there is none. */
export function findShowing(mounts: readonly MountedView[], viewPath: string): MountedView | undefined {
  return mounts.find(mount => shows(mount, viewPath));
}

/** Finds all of them. */
export function findAllShowing(mounts: readonly MountedView[], viewPath: string): readonly MountedView[] {
  return mounts.filter(mount => shows(mount, viewPath));
}

function shows({ source }: MountedView, viewPath: string): boolean {
  return source === viewPath || source.startsWith(`${viewPath}/`);
}

/** The keys of the views of which a mount shows all or a part. */
export function shownKeys(mounts: readonly MountedView[], viewsFolder: string): ReadonlySet<string> {
  const below = mounts.filter(({ source }) => source.startsWith(`${viewsFolder}/`));
  return new Set(
    below.map(({ source }) =>
      source
        .slice(viewsFolder.length + 1)
        .split('/', 1)
        .join(),
    ),
  );
}
