import { posix } from 'node:path';
import {
  makeDirectory,
  type OpenDirectory,
  openDirectory,
  openIfThere,
  removeDirectory,
  statDirectory,
} from '../linux/directory.ts';
import { pathOf } from '../linux/libc.ts';
import { attachMount, cloneMount, detachMount, restriction, restrictMount } from '../linux/mount.ts';
import type { Mounter, Target } from '../ports/mounter.ts';
import type { MountFlag } from '../ports/request.ts';
import { ArtifactError, errnoOf } from '../util/error.ts';
import { quoteName } from '../util/name.ts';
import { toMountError } from './error.ts';
import { hasOwnNamespace, openPropagation } from './propagation.ts';
import { findForeign, scan } from './scan.ts';
import { firstEntry, inspect, openHandle, openTarget, type TargetHandle } from './target.ts';

/** Mounts in the mount namespace of this process. Disposing it closes its descriptors and leaves the mounts. */
export type KernelMounter = Disposable &
  Mounter & {
    /** Returns why pods would not see their mounts. */
    problem(): string | undefined;
  };

/**
 * Target paths are resolved by descriptor from the kubelet directory, or from `/` for those that may be anywhere,
 * without following symlinks. The kubelet directory itself may be a symlink. It is opened each time, because a disk may
 * be mounted there later.
 */
export function openMounter(options: {
  readonly kubeletDir: string;
  /** Nothing may be mounted in it. */
  readonly stateDir?: string;
  /** Whether kubelet is in another mount namespace. */
  readonly isApart?: boolean;
}): KernelMounter {
  const kubeletDir = posix.resolve(options.kubeletDir);
  const isApart = options.isApart ?? hasOwnNamespace();
  const propagation = openPropagation();
  const top = openDirectory('/');

  const isSeen = (directory: OpenDirectory): boolean => !isApart || propagation.isShared(directory);

  function locate({ path, anywhere }: Target): TargetHandle | undefined {
    if (anywhere) return openHandle(path, '/', top);
    using kubelet = openIfThere(kubeletDir);
    if (kubelet !== undefined) return openHandle(path, kubeletDir, kubelet);
    throw new ArtifactError(
      'invalid',
      `kubelet's directory ${kubeletDir}, in which ${path} should be, does not exist; if kubelet uses another one, set --kubelet-dir`,
    );
  }

  /** No symlink is followed, so the text of the path shows which directory contains a target. */
  function verifyOpen({ path, anywhere }: Target): void {
    if (!anywhere) return;
    for (const [closed, what] of closedDirectories(options.stateDir)) {
      if (!`${path}/`.startsWith(`${closed}/`)) continue;
      throw new ArtifactError(
        'invalid',
        `cannot mount at ${path}: it is in ${what}; choose another directory`,
      );
    }
  }

  function unmount(target: Target): void {
    using handle = locate(target);
    if (handle === undefined) return;
    try {
      unbind(handle, target.keepsDirectory === true);
    } catch (error) {
      throw toMountError(error, `unmount ${target.path}`);
    }
  }

  /** @throws `unmountable` if something other than views is mounted at the target. */
  async function verifyView(target: Target): Promise<void> {
    using handle = locate(target);
    using directory = handle && openTarget(handle);
    if (directory === undefined || !statDirectory(directory).isMountRoot) return;
    const foreign = await findForeign(pathOf(directory.fd));
    if (foreign === undefined) return;
    throw new ArtifactError(
      'unmountable',
      `${target.path} is no volume of this driver: it shows ${quoteName(foreign)}, which stays mounted; whoever mounted it must unmount it`,
    );
  }

  /** Below the kubelet directory, a path is spelled as kubelet spells it, possibly through a symlink. */
  function spell(mountPoint: string, kubelet: OpenDirectory): string {
    const real = `${pathOf(kubelet.fd)}/`;
    return mountPoint.startsWith(real) ? posix.join(kubeletDir, mountPoint.slice(real.length)) : mountPoint;
  }

  return {
    async state(target, view) {
      if (view === undefined) verifyOpen(target);
      using handle = locate(target);
      if (handle !== undefined) return await inspect(handle, view);
      // kubelet creates the directories of its own targets.
      if (view === undefined && target.anywhere) throw toNoParent(target);
      return { kind: 'absent' };
    },
    async mount(view, target, flags) {
      verifyOpen(target);
      using handle = locate(target);
      if (handle === undefined) throw toNoParent(target);
      if (!target.anywhere && !isSeen(handle.parent))
        throw new ArtifactError('unavailable', unseen(kubeletDir));
      try {
        await bind(view, handle, flags);
      } catch (error) {
        throw toMountError(error, `mount ${view} at ${target.path}`);
      }
    },
    unmount: async target => unmount(target),
    async unmountView(target) {
      await verifyView(target);
      unmount(target);
    },
    problem() {
      using directory = openIfThere(posix.join(kubeletDir, 'pods')) ?? openIfThere(kubeletDir);
      return directory === undefined || isSeen(directory) ? undefined : unseen(kubeletDir);
    },
    async list(root) {
      const mounts = await scan(root);
      using kubelet = openIfThere(kubeletDir);
      if (kubelet === undefined) return mounts;
      return mounts.map(mount => ({ ...mount, target: spell(mount.target, kubelet) }));
    },
    [Symbol.dispose]: () => top[Symbol.dispose](),
  };
}

/**
 * Mounts a view at a target. The mount is restricted before it is attached, so it is never writable, neither here nor
 * in a mount namespace that shares the target. A mount that is remounted read-only afterwards stays writable there,
 * because a remount does not propagate.
 */
async function bind(view: string, handle: TargetHandle, flags: readonly MountFlag[]): Promise<void> {
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
function unbind(handle: TargetHandle, keepsDirectory: boolean): void {
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

function toNoParent({ path }: Target): ArtifactError {
  const why = `the directory ${posix.dirname(path)} does not exist; create it`;
  return new ArtifactError('invalid', `cannot mount at ${path}: ${why}`);
}

/** The directories in which a command may not mount a volume, each with its description. */
function closedDirectories(stateDir: string | undefined): readonly (readonly [string, string])[] {
  const kernel = ['/proc', '/sys'].map(path => [path, `${path}, which the kernel owns`] as const);
  if (stateDir === undefined) return kernel;
  const what = `the state directory ${stateDir}`;
  return [...kernel, [posix.resolve(stateDir), what], [toReal(stateDir), what]];
}

function toReal(path: string): string {
  using directory = openIfThere(path);
  return directory === undefined ? path : pathOf(directory.fd);
}

/** The one mistake in a DaemonSet with which everything else works. */
function unseen(kubeletDir: string): string {
  return `pods would find an empty directory: what this container mounts in ${kubeletDir} does not reach the host; set "mountPropagation: Bidirectional" in the DaemonSet, at the volumeMount of ${kubeletDir}`;
}
