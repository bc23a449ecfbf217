import { closeSync } from 'node:fs';
import { openRegular } from '../util/regular-file.ts';
import { type FsContext, longestSource, openFsContext } from './fs-context.ts';
import type { DetachedMount } from './mount.ts';

/** Mounts of EROFS images that are files. */
export type ErofsFiles = {
  /** The image. Lists of mounts show this path. */
  readonly image: string;
  /** The files with the bytes of its files, in the order of its table. */
  readonly devices: readonly string[];
  /** Whether the devices are read past the page cache. */
  readonly isDirect?: boolean;
  /** The SELinux context of everything in it. */
  readonly context?: string | undefined;
};

/**
 * Mounts an image with its devices, read-only, nosuid and nodev, and does not attach it. The mount keeps the files open:
 * they may be renamed or removed.
 *
 * @throws ENODEV without EROFS; ENOTBLK where it mounts block devices only; EINVAL for a file that it cannot read.
 */
export function createErofsMount(files: ErofsFiles): DetachedMount {
  using stack = new DisposableStack();
  return configure(files, stack).mount();
}

/**
 * The same for an image with late files, whose landings a thread of this process answers: this thread must not wait for
 * it. It must not close the last descriptor of such a mount either, unless the mount is attached.
 */
export async function createErofsMountInThread(files: ErofsFiles): Promise<DetachedMount> {
  using stack = new DisposableStack();
  return await configure(files, stack).mountInThread();
}

function configure({ image, devices, isDirect, context }: ErofsFiles, stack: DisposableStack): FsContext {
  const fs = stack.use(openFsContext('erofs', image));
  const toSource = (path: string): string => {
    if (Buffer.byteLength(path) <= longestSource) return path;
    const fd = openRegular(path);
    stack.defer(() => closeSync(fd));
    return `/proc/self/fd/${fd}`;
  };
  fs.set('source', image);
  for (const device of devices) fs.set('device', toSource(device));
  if (context !== undefined) fs.set('context', context);
  if (isDirect === true) fs.setFlag('directio');
  fs.setFlag('ro');
  return fs;
}
