import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, posix } from 'node:path';
import {
  type OpenDirectory,
  openDirectory,
  openIfThere,
  removeDirectory,
  statDirectory,
} from '../linux/directory.ts';
import { createErofsMount } from '../linux/erofs.ts';
import { pathOf } from '../linux/libc.ts';
import {
  attachMount,
  cloneMount,
  type DetachedMount,
  detachMount,
  restriction,
  restrictMount,
} from '../linux/mount.ts';
import type { ImageMounts, ShownView } from '../ports/mounter.ts';
import type { ViewImage } from '../ports/store.ts';
import { toMountError } from './error.ts';
import { isImageName, type MountEntry, parseMountinfo, showsImage } from './mountinfo.ts';

/** Where images are mounted: below kubelet's directory of plugins, so that the mounts are the node's own. */
export function imageDirectory(kubeletDir: string, driverName: string): string {
  return join(posix.resolve(kubeletDir), 'plugins', driverName, 'views');
}

/**
 * Mounts images in a directory, each under the name of its file, once for all volumes that show it: they share one
 * superblock, and so one page cache. A mount outlives this process. A missing one is made again of a volume that shows
 * the image.
 *
 * @param context the SELinux context of all files.
 */
export function openImageMounts(directory: string, context: string | undefined): ImageMounts {
  const mountPointOf = ({ file }: ViewImage): string => join(directory, basename(file));

  const isMounted = (path: string): boolean => {
    using there = openIfThere(path);
    return there !== undefined && statDirectory(there).isMountRoot;
  };

  const attach = (mount: DetachedMount, path: string): void => {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    using parent = openDirectory(directory);
    attachMount(mount, parent, basename(path));
  };

  /** Makes the mount again of a volume that shows the image, without the flags that are of that volume. */
  const adopt = (image: ViewImage, path: string): boolean => {
    for (const { mountPoint, device } of readMounts().filter(mount => isOf(mount, image))) {
      using clone = cloneIfThere(mountPoint);
      if (clone === undefined || statDirectory(clone).device !== device) continue; // another mount hides it
      restrictMount(clone, restriction.readOnly | restriction.noSuid | restriction.noDev);
      attach(clone, path);
      return true;
    }
    return false;
  };

  /** Returns why the mount stays. */
  const detach = (parent: OpenDirectory, name: string): string | undefined => {
    try {
      while (detachMount(parent, name));
      removeDirectory(parent, name);
    } catch (thrown) {
      return toMountError(thrown, `unmount ${join(directory, name)}, which no volume shows`).message;
    }
  };

  return {
    shown({ path, image }) {
      if (image === undefined) return path;
      const at = mountPointOf(image);
      if (!isMounted(at)) adopt(image, at);
      return at;
    },
    raise({ image }: ShownView) {
      if (image === undefined) return;
      const at = mountPointOf(image);
      if (isMounted(at) || adopt(image, at)) return;
      try {
        using mount = createErofsMount({ ...image, image: image.file, context });
        attach(mount, at);
      } catch (thrown) {
        throw toMountError(thrown, `mount the image ${image.file} at ${at}`);
      }
    },
    tidy() {
      using parent = openIfThere(directory);
      const names = parent === undefined ? [] : readdirSync(directory).filter(isImageName);
      if (parent === undefined || names.length === 0) return [];
      const real = pathOf(parent.fd);
      const mounts = Map.groupBy(readMounts(), ({ mountPoint }) => dirname(mountPoint) === real);
      const shown = new Set(mounts.get(false)?.map(({ device }) => device));
      const own = mounts.get(true)?.filter(({ device }) => shown.has(device)) ?? [];
      const used = new Set(own.map(({ mountPoint }) => basename(mountPoint)));
      return names.flatMap(name => (used.has(name) ? [] : (detach(parent, name) ?? [])));
    },
  };
}

function readMounts(): readonly MountEntry[] {
  return parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'));
}

function cloneIfThere(mountPoint: string): DetachedMount | undefined {
  try {
    return cloneMount(mountPoint);
  } catch {
    return undefined; // its volume has just ended, or a directory above it is hidden
  }
}

function isOf(mount: MountEntry, { file }: ViewImage): boolean {
  return showsImage(mount) && basename(mount.source) === basename(file);
}
