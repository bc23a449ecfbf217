import { posix } from 'node:path';
import type { Mounter, Target } from '../ports/mounter.ts';
import { ArtifactError } from '../util/error.ts';
import { pathOf } from '../linux/libc.ts';
import { type OpenDirectory, openFolder, openIfThere } from '../linux/folder.ts';
import { bind, unbind } from './bind.ts';
import { toMountError } from './error.ts';
import { openHandle, type TargetHandle } from './target.ts';
import { hasOwnNamespace, openPropagation } from './propagation.ts';
import { scan } from './scan.ts';
import { inspect } from './inspection.ts';

/** Mounts in the mount namespace of this process. Disposing it closes its descriptors and leaves the mounts. */
export type KernelMounter = Disposable &
  Mounter & {
    /** Why no pod would see what is mounted for it. */
    problem(): string | undefined;
  };

/**
 * Target paths are walked by descriptor from the kubelet folder, or from `/` for those that may lie anywhere, and no
 * symlink is followed on the way. The kubelet folder itself may be a symlink. It is opened each time: a disk may be
 * mounted there while this runs.
 */
export function openMounter(options: {
  readonly kubeletDir: string;
  /** Nothing is mounted in it. */
  readonly stateDir?: string;
  /** Whether kubelet is in another mount namespace. */
  readonly isApart?: boolean;
}): KernelMounter {
  const kubeletDir = posix.resolve(options.kubeletDir);
  const isApart = options.isApart ?? hasOwnNamespace();
  const propagation = openPropagation();
  const top = openFolder('/');

  const isSeen = (folder: OpenDirectory): boolean => !isApart || propagation.isShared(folder);

  function locate({ path, anywhere }: Target): TargetHandle | undefined {
    if (anywhere) return openHandle(path, '/', top);
    using kubelet = openIfThere(kubeletDir);
    if (kubelet !== undefined) return openHandle(path, kubeletDir, kubelet);
    throw new ArtifactError(
      'invalid',
      `kubelet's directory ${kubeletDir}, in which ${path} should be, does not exist; if kubelet uses another one, set --kubelet-dir`,
    );
  }

  /** No symlink is followed on the way to a target, so what it is in can be told by its words. */
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

  /** Below the kubelet folder a path is spelled as kubelet does, which may be by way of a symlink. */
  function spell(mountPoint: string, kubelet: OpenDirectory): string {
    const real = `${pathOf(kubelet.fd)}/`;
    return mountPoint.startsWith(real) ? posix.join(kubeletDir, mountPoint.slice(real.length)) : mountPoint;
  }

  return {
    async state(target, view) {
      if (view === undefined) verifyOpen(target);
      using place = locate(target);
      return place === undefined ? { kind: 'absent' } : await inspect(place, view);
    },
    async mount(view, target, flags) {
      verifyOpen(target);
      using place = locate(target);
      if (place === undefined) {
        const folder = posix.dirname(target.path);
        throw new ArtifactError(
          'invalid',
          `cannot mount at ${target.path}: the directory ${folder} does not exist; create it`,
        );
      }
      if (!target.anywhere && !isSeen(place.parent))
        throw new ArtifactError('unavailable', unseen(kubeletDir));
      try {
        await bind(view, place, flags);
      } catch (error) {
        throw toMountError(error, `mount ${view} at ${target.path}`);
      }
    },
    async unmount(target) {
      using place = locate(target);
      if (place === undefined) return;
      try {
        unbind(place, target.keepsFolder === true);
      } catch (error) {
        throw toMountError(error, `unmount ${target.path}`);
      }
    },
    problem() {
      using folder = openIfThere(posix.join(kubeletDir, 'pods')) ?? openIfThere(kubeletDir);
      return folder === undefined || isSeen(folder) ? undefined : unseen(kubeletDir);
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

/** Where the caller of a command may not have a volume, each with what it is. */
function closedDirectories(stateDir: string | undefined): readonly (readonly [string, string])[] {
  const kernel = ['/proc', '/sys'].map(path => [path, `${path}, which the kernel owns`] as const);
  if (stateDir === undefined) return kernel;
  const what = `the state directory ${stateDir}`;
  return [...kernel, [posix.resolve(stateDir), what], [toReal(stateDir), what]];
}

function toReal(path: string): string {
  using folder = openIfThere(path);
  return folder === undefined ? path : pathOf(folder.fd);
}

/** The one mistake in a DaemonSet that all else works with. */
function unseen(kubeletDir: string): string {
  return `pods would find an empty directory: what this container mounts in ${kubeletDir} does not reach the host; set "mountPropagation: Bidirectional" in the DaemonSet, at the volumeMount of ${kubeletDir}`;
}
