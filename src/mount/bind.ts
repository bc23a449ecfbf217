import { makeDirectory, removeDirectory } from '../linux/directory.ts';
import { attachMount, cloneMount, detachMount, restriction, restrictMount } from '../linux/mount.ts';
import type { MountFlag } from '../ports/request.ts';
import { ArtifactError, errnoOf } from '../util/error.ts';
import { quoteName } from '../util/name.ts';
import { firstEntry, inspect } from './inspection.ts';
import { openTarget, type TargetHandle } from './target.ts';

/**
 * Mounts a view at a target. The mount is restricted before it is attached, so it is never writable, neither here nor
 * in a mount namespace that shares the target. A mount that is remounted read-only afterwards stays writable there,
 * because a remount does not propagate.
 */
export async function bind(view: string, handle: TargetHandle, flags: readonly MountFlag[]): Promise<void> {
  using clone = cloneMount(view);
  restrictMount(clone, toRestrictions(flags));
  const made = makeDirectory(handle.parent, handle.name, 0o750);
  if (!made) await verifyEmpty(handle);
  try {
    attachMount(clone, handle.parent, handle.name);
  } catch (error) {
    if (made) removeDirectory(handle.parent, handle.name);
    throw error;
  }
}

/**
 * Unmounts every mount at a target, the topmost first, then removes the directory, unless that is to stay. It never
 * removes anything that is not empty. On a read-only disk the directory stays, and that is success: the pod has no
 * mount any more, and kubelet, which cannot remove the parent directories either, retries.
 */
export function unbind(handle: TargetHandle, keepsDirectory: boolean): void {
  while (detachMount(handle.parent, handle.name));
  if (keepsDirectory) return;
  try {
    removeDirectory(handle.parent, handle.name);
  } catch (error) {
    if (errnoOf(error) === 'EROFS') return;
    using target = openTarget(handle);
    if (target === undefined) return;
    const entry = errnoOf(error) === 'ENOTEMPTY' ? firstEntry(target) : undefined;
    if (entry === undefined) throw error;
    throw new ArtifactError(
      'unmountable',
      `${handle.path} is not empty after the unmount (it holds ${quoteName(entry)}): nothing there is deleted, move it away`,
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

async function verifyEmpty(handle: TargetHandle): Promise<void> {
  const state = await inspect(handle, undefined);
  switch (state.kind) {
    case 'absent':
    case 'empty':
      return;
    case 'occupied':
      throw new ArtifactError('exists', `${handle.path} is not empty (it holds ${quoteName(state.entry)})`);
    case 'mounted':
      throw new ArtifactError('exists', `${handle.path} is a mount point already`);
  }
}
