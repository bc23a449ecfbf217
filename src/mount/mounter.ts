import { posix } from 'node:path';
import { ArtifactError } from '../util/error.ts';
import { pathOf } from '../util/libc.ts';
import { type Folder, openFolder, openIfThere } from '../util/libc-folder.ts';
import { bind, type MountFlag, unbind } from './bind.ts';
import { toMountError } from './failure.ts';
import type { MountedFolder } from './mountinfo.ts';
import { openPlace, type Place } from './place.ts';
import { scan } from './scan.ts';
import { inspect, type State } from './state.ts';

type Target = { readonly path: string; readonly anywhere: boolean };

/** Mounts in the mount namespace of this process. Disposing it closes its descriptors and leaves the mounts. */
export type KernelMounter = Disposable & {
  /** What is at the target; `view` is the folder that should be mounted there. @throws `invalid`. */
  state(target: Target, view: string | undefined): Promise<State>;
  /** @throws `invalid`; `exists` when the target is not an empty folder; `denied` when the kernel refuses. */
  mount(view: string, target: Target, flags: readonly MountFlag[]): Promise<void>;
  /** @throws `invalid`; `unmountable` naming an entry when the folder below the mounts is not empty. */
  unmount(target: Target): Promise<void>;
  /** Every mount that shows a folder below `root`, dead ones too; by mountinfo, so for the scan at start. */
  list(root: string): Promise<readonly MountedFolder[]>;
};

/**
 * Target paths are walked by descriptor from the kubelet folder, or from `/` for those that may lie anywhere, and no
 * symlink is followed on the way. The kubelet folder itself may be a symlink. It is opened each time: a disk may be
 * mounted there while this runs.
 */
export function openMounter(options: { readonly kubeletDir: string }): KernelMounter {
  const kubeletDir = posix.resolve(options.kubeletDir);
  const top = openFolder('/');

  function locate({ path, anywhere }: Target): Place | undefined {
    if (anywhere) return openPlace(path, '/', top);
    using kubelet = openIfThere(kubeletDir);
    if (kubelet !== undefined) return openPlace(path, kubeletDir, kubelet);
    throw new ArtifactError(
      'invalid',
      `there is no kubelet folder ${kubeletDir} to look for ${path} in; where kubelet uses another one, name it with --kubelet-dir`,
    );
  }

  /** Below the kubelet folder a path is spelled as kubelet does, which may be by way of a symlink. */
  function spell(mountPoint: string, kubelet: Folder): string {
    const real = `${pathOf(kubelet.fd)}/`;
    return mountPoint.startsWith(real) ? posix.join(kubeletDir, mountPoint.slice(real.length)) : mountPoint;
  }

  return {
    async state(target, view) {
      using place = locate(target);
      return place === undefined ? { kind: 'absent' } : await inspect(place, view);
    },
    async mount(view, target, flags) {
      using place = locate(target);
      if (place === undefined) {
        const folder = posix.dirname(target.path);
        throw new ArtifactError('invalid', `cannot mount at ${target.path}: there is no folder ${folder}`);
      }
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
        unbind(place);
      } catch (error) {
        throw toMountError(error, `unmount ${target.path}`);
      }
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
