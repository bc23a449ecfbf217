import { posix } from 'node:path';
import { type OpenDirectory, openDirectory, openIfThere } from '../linux/directory.ts';
import { pathOf } from '../linux/libc.ts';
import type { Mounter, Target } from '../ports/mounter.ts';
import { ArtifactError } from '../util/error.ts';
import { bind, unbind } from './bind.ts';
import { toMountError } from './error.ts';
import { inspect } from './inspection.ts';
import { hasOwnNamespace, openPropagation } from './propagation.ts';
import { scan } from './scan.ts';
import { openHandle, type TargetHandle } from './target.ts';

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

  /** Below the kubelet directory, a path is spelled as kubelet spells it, possibly through a symlink. */
  function spell(mountPoint: string, kubelet: OpenDirectory): string {
    const real = `${pathOf(kubelet.fd)}/`;
    return mountPoint.startsWith(real) ? posix.join(kubeletDir, mountPoint.slice(real.length)) : mountPoint;
  }

  return {
    async state(target, view) {
      if (view === undefined) verifyOpen(target);
      using handle = locate(target);
      return handle === undefined ? { kind: 'absent' } : await inspect(handle, view);
    },
    async mount(view, target, flags) {
      verifyOpen(target);
      using handle = locate(target);
      if (handle === undefined) {
        const directory = posix.dirname(target.path);
        throw new ArtifactError(
          'invalid',
          `cannot mount at ${target.path}: the directory ${directory} does not exist; create it`,
        );
      }
      if (!target.anywhere && !isSeen(handle.parent))
        throw new ArtifactError('unavailable', unseen(kubeletDir));
      try {
        await bind(view, handle, flags);
      } catch (error) {
        throw toMountError(error, `mount ${view} at ${target.path}`);
      }
    },
    async unmount(target) {
      using handle = locate(target);
      if (handle === undefined) return;
      try {
        unbind(handle, target.keepsDirectory === true);
      } catch (error) {
        throw toMountError(error, `unmount ${target.path}`);
      }
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
