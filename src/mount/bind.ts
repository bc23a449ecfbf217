import type { MountFlag } from '../ports/request.ts';
import { ArtifactError, errnoOf } from '../util/error.ts';
import { makeFolder, removeFolder } from '../linux/folder.ts';
import { attachMount, cloneMount, detachMount, restriction, restrictMount } from '../linux/mount.ts';
import { openTarget, type TargetHandle } from './target.ts';
import { firstEntry, inspect } from './inspection.ts';

/**
 * Shows a view at a place. The mount is restricted before it is attached, so nobody ever sees it writable, neither here
 * nor in a mount namespace that shares the place: a mount that is made first and remounted read-only afterwards stays
 * writable there, since a remount does not propagate.
 */
export async function bind(view: string, place: TargetHandle, flags: readonly MountFlag[]): Promise<void> {
  using clone = cloneMount(view);
  restrictMount(clone, toRestrictions(flags));
  const made = makeFolder(place.parent, place.name, 0o750);
  if (!made) await verifyEmpty(place);
  try {
    attachMount(clone, place.parent, place.name);
  } catch (error) {
    if (made) removeFolder(place.parent, place.name);
    throw error;
  }
}

/**
 * Takes away every mount at a place, the topmost first, then the folder, unless that is to stay. Never removes anything
 * that is not empty. On a read-only disk the folder stays, and that is success: nothing is mounted any more, which is what
 * matters to the pod, and whoever made the folders around it cannot remove them either, and comes back.
 */
export function unbind(place: TargetHandle, keepsFolder: boolean): void {
  while (detachMount(place.parent, place.name));
  if (keepsFolder) return;
  try {
    removeFolder(place.parent, place.name);
  } catch (error) {
    if (errnoOf(error) === 'EROFS') return;
    using target = openTarget(place);
    if (target === undefined) return;
    const entry = errnoOf(error) === 'ENOTEMPTY' ? firstEntry(target) : undefined;
    if (entry === undefined) throw error;
    throw new ArtifactError(
      'unmountable',
      `${place.path} is not empty after the unmount (it holds ${JSON.stringify(entry)}): nothing there is deleted, move it away`,
      error,
    );
  }
}

function toRestrictions(flags: readonly MountFlag[]): bigint {
  let bits = restriction.readOnly | restriction.noSuid | restriction.noDev;
  if (flags.includes('noexec')) bits |= restriction.noExec;
  if (flags.includes('noatime')) bits |= restriction.noAtime;
  return bits;
}

async function verifyEmpty(place: TargetHandle): Promise<void> {
  const state = await inspect(place, undefined);
  switch (state.kind) {
    case 'absent':
    case 'empty':
      return;
    case 'occupied':
      throw new ArtifactError(
        'exists',
        `${place.path} is not empty (it holds ${JSON.stringify(state.entry)})`,
      );
    case 'mounted':
      throw new ArtifactError('exists', `${place.path} is a mount point already`);
  }
}
