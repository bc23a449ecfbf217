import { close, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, posix } from 'node:path';
import { promisify } from 'node:util';
import { isImageName } from '../erofs/image.ts';
import {
  type OpenDirectory,
  openDirectory,
  openIfThere,
  removeDirectory,
  statDirectory,
} from '../linux/directory.ts';
import { createErofsMount, createErofsMountInThread } from '../linux/erofs.ts';
import { pathOf } from '../linux/libc.ts';
import {
  attachMount,
  cloneMount,
  type DetachedMount,
  detachMount,
  detachMountInThread,
  restriction,
  restrictMount,
} from '../linux/mount.ts';
import type { Landing, LateMounts } from '../ports/landing.ts';
import type { ImageMounts, ShownView } from '../ports/mounter.ts';
import type { ViewImage } from '../ports/store.ts';
import { ArtifactError } from '../util/error.ts';
import { makeDirectories } from '../util/make-directories.ts';
import { toMountError } from './error.ts';
import { isImageMount, type MountEntry, parseMountinfo, showsImage } from './mountinfo.ts';

/**
 * Where images are mounted: in kubelet's directory of plugins, so that the mounts are the node's own, and not below the
 * directory of the socket, which containers beside the daemon mount, and would keep with all mounts in it.
 */
export function imageDirectory(kubeletDir: string, driverName: string): string {
  return join(posix.resolve(kubeletDir), 'plugins', `${driverName}-views`);
}

/**
 * Mounts images in a directory, each under the name of its file, once for all volumes that show it: they share one
 * superblock, and so one page cache. A mount outlives this process. A missing one is made again of a volume that shows
 * the image.
 *
 * @param context the SELinux context of all files.
 */
export function openImageMounts(directory: string, context: string | undefined): ImageMounts & LateMounts {
  const mountPointOf = ({ file }: ViewImage): string => join(directory, basename(file));

  /** The mounts that were found to show the image of their name: mountinfo grows with the volumes of the node. */
  const verified = new Map<string, string>();

  /** The mounts of late views, by the names of their images. */
  const kept = new Set<string>();

  /** Whether the image is mounted there. @throws `internal` if something else is. */
  const isMounted = (image: ViewImage, path: string): boolean => {
    using there = openIfThere(path);
    if (there === undefined) return false;
    const { isMountRoot, mountId, device, inode } = statDirectory(there);
    if (!isMountRoot) return false;
    const mark = `${mountId} ${device} ${inode}`;
    if (verified.get(path) === mark) return true;
    const mount = readMounts().find(({ id }) => id === mountId);
    if (mount === undefined || !isOf(mount, image)) throw foreign(path);
    verified.set(path, mark);
    return true;
  };

  const attach = (mount: DetachedMount, path: string): void => {
    verifyDirectory(directory);
    makeDirectories(path, 0o700);
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

  /** Unmounts what is stacked there. Returns why it stays. */
  const detach = (parent: OpenDirectory, name: string, mounts: readonly MountEntry[]): string | undefined => {
    const path = join(directory, name);
    try {
      if (!mounts.every(isImageMount)) throw foreign(path);
      verified.delete(path);
      while (detachMount(parent, name));
      removeDirectory(parent, name);
    } catch (thrown) {
      return toMountError(thrown, `unmount ${path}, which no volume shows`).message;
    }
  };

  /** Unmounts the image of a late view, and leaves it to others if that fails. */
  const release = async (name: string): Promise<void> => {
    kept.delete(name);
    verified.delete(join(directory, name));
    using parent = openIfThere(directory);
    if (parent === undefined) return;
    while (await detachMountInThread(parent, name));
    using point = openIfThere(join(directory, name));
    if (point !== undefined) removeDirectory(parent, name);
  };

  /** Unmounts each image that no volume shows. Returns why some stay. */
  const unmountUnused = (): readonly string[] => {
    using parent = openIfThere(directory);
    const names =
      parent === undefined ? [] : readdirSync(directory).filter(name => isImageName(name) && !kept.has(name));
    if (parent === undefined || names.length === 0) return [];
    verifyDirectory(directory);
    const real = pathOf(parent.fd);
    const mounts = readMounts();
    const isOwn = ({ mountPoint }: MountEntry): boolean => dirname(mountPoint) === real;
    const shown = new Set(
      mounts.filter(mount => !isOwn(mount) && !isImageMount(mount)).map(({ device }) => device),
    );
    const mountsOf = Map.groupBy(mounts.filter(isOwn), ({ mountPoint }) => basename(mountPoint));
    return names.flatMap(name => {
      const here = mountsOf.get(name) ?? [];
      return here.some(({ device }) => shown.has(device)) ? [] : (detach(parent, name, here) ?? []);
    });
  };

  /** Ends the landings of an image, its mount, and then a descriptor of that. */
  const guard = (
    name: string,
    mount: number | undefined,
    landings: readonly Landing[],
  ): AsyncDisposableStack => {
    const held = new AsyncDisposableStack();
    if (mount !== undefined) held.defer(() => closeInPool(mount));
    kept.add(name);
    held.defer(() => release(name));
    for (const landing of landings) held.use(landing);
    return held;
  };

  const attempt = <T>(doing: string, action: () => T): T => {
    try {
      return action();
    } catch (thrown) {
      throw toMountError(thrown, doing);
    }
  };

  return {
    shown({ path, image }) {
      if (image === undefined) return path;
      const at = mountPointOf(image);
      return attempt(`find the image ${image.file} at ${at}`, () => {
        if (!isMounted(image, at)) adopt(image, at);
        return at;
      });
    },
    raise({ image }: ShownView) {
      if (image === undefined) return;
      const at = mountPointOf(image);
      attempt(`mount the image ${image.file} at ${at}`, () => {
        if (isMounted(image, at) || adopt(image, at)) return;
        using mount = createErofsMount({ ...image, image: image.file, context });
        attach(mount, at);
      });
    },
    async keep(image, landings) {
      const at = mountPointOf(image);
      try {
        const mount = await createErofsMountInThread({ ...image, image: image.file, context });
        await using held = guard(basename(at), mount.fd, landings);
        attach(mount, at);
        return held.move();
      } catch (thrown) {
        throw toMountError(thrown, `mount the image ${image.file} at ${at}`);
      }
    },
    keepMounted(image, landings) {
      const at = mountPointOf(image);
      return attempt(`find the image ${image.file} at ${at}`, () => {
        const isThere = isMounted(image, at) || adopt(image, at);
        return guard(basename(at), isThere ? openIfThere(at)?.fd : undefined, landings);
      });
    },
    tidy() {
      try {
        return unmountUnused();
      } catch (thrown) {
        return [toMountError(thrown, `look for images in ${directory} that no volume shows`).message];
      }
    },
  };
}

/** Somebody may have put something else there. @throws Error unless it is a directory, or nothing. */
function verifyDirectory(path: string): void {
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there !== undefined && !there.isDirectory())
    throw new ArtifactError(
      'internal',
      `${path} is not a directory; remove it, so that images can be mounted there`,
    );
}

/** The last descriptor of a mount unmounts it, and that may wait. */
const closeInPool = promisify(close);

function foreign(path: string): ArtifactError {
  return new ArtifactError(
    'internal',
    `something other than the image of that name is mounted at ${path}; unmount it`,
  );
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
