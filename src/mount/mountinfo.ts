import { posix } from 'node:path';
import { isImageName } from '../erofs/image.ts';
import type { MountedView } from '../ports/mounter.ts';

/** One line of /proc/self/mountinfo, with the fields used here (proc_pid_mountinfo(5)). */
export type MountEntry = {
  readonly id: number;
  /** The device of the filesystem: `major:minor`. */
  readonly device: string;
  /** The directory of the filesystem that the mount shows. */
  readonly root: string;
  /** Whether the directory that the mount shows was removed. */
  readonly dead: boolean;
  /** The mount point, as this process sees it. */
  readonly mountPoint: string;
  /** The type of the filesystem, and what it was made of. */
  readonly type: string;
  readonly source: string;
  /** Mounts made below it appear in the other mount namespaces of its peer group. */
  readonly shared: boolean;
};

/** The kernel appends this to the path of a removed directory. No path of an existing one can end like this. */
const deleted = '//deleted';

/** Parses the text of mountinfo. Lines of another form are ignored. */
export function parseMountinfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const [id, , device, root, mountPoint, , ...rest] = line.split(' ');
    if (id === undefined || device === undefined || root === undefined || !mountPoint) continue;
    const dead = root.endsWith(deleted);
    const [type = '', source = ''] = rest.slice(rest.indexOf('-') + 1);
    entries.push({
      id: Number(id),
      device,
      root: unescape(dead ? root.slice(0, -deleted.length) : root),
      dead,
      mountPoint: unescape(mountPoint),
      type,
      source: unescape(source),
      shared: rest.slice(0, rest.indexOf('-')).some(field => field.startsWith('shared:')),
    });
  }
  return entries;
}

/** The kernel writes space, tab, newline and backslash as three octal digits. */
function unescape(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
}

/**
 * Returns the mounts that show a directory strictly below `directory`. They are found by filesystem and path in it,
 * because the mount on which they were made may have another path here, or be gone.
 *
 * @param mountId of the mount that contains `directory`; `realPath` is its path without symlinks.
 */
export function selectBelow(
  entries: readonly MountEntry[],
  directory: string,
  realPath: string,
  mountId: number,
): MountedView[] {
  const own = entries.find(entry => entry.id === mountId);
  if (own === undefined)
    throw new Error(`mount ${mountId}, which holds ${directory}, is not in /proc/self/mountinfo`);
  const root = posix.join(own.root, posix.relative(own.mountPoint, realPath));
  return entries
    .filter(entry => entry.device === own.device && entry.root.startsWith(`${root}/`))
    .map(({ root: shown, mountPoint, dead }) => ({
      target: mountPoint,
      source: posix.join(directory, posix.relative(root, shown)),
      dead,
    }));
}

/** The path of a tree: that of its key below `views`. */
const treePath = /\/views\/[^/]+$/;
/** The path of the directory of an image when it was mounted. */
const imageDirectory = /\/views\/[^/]+\.erofs$/;

/** Whether an image of a view is mounted there, as a whole, of this or another state directory. */
export function showsImage({ type, root, source }: MountEntry): boolean {
  const isImage = isImageName(posix.basename(source)) && imageDirectory.test(posix.dirname(source));
  return type === 'erofs' && root === '/' && isImage;
}

/** Whether it is the mount of an image, or a copy of that in another directory, which is no volume. */
export function isImageMount(entry: MountEntry): boolean {
  return showsImage(entry) && posix.basename(entry.mountPoint) === posix.basename(entry.source);
}

/**
 * Whether a view is mounted there, of this or another state directory, which may be gone. What shows a removed directory
 * shows a view that was removed.
 */
export function showsView(entry: MountEntry): boolean {
  if (entry.type === 'erofs') return showsImage(entry);
  return entry.dead || treePath.test(entry.root);
}
