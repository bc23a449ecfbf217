import { posix } from 'node:path';
import type { MountedView } from '../ports/mounter.ts';

/** One line of /proc/self/mountinfo, as far as it is needed here (proc_pid_mountinfo(5)). */
export type MountEntry = {
  readonly id: number;
  /** Of the file system: `major:minor`. */
  readonly device: string;
  /** The folder of the file system that the mount shows. */
  readonly root: string;
  /** The folder that the mount shows is removed. */
  readonly dead: boolean;
  /** As this process sees it. */
  readonly mountPoint: string;
  /** Mounts made below it appear in the other mount namespaces of its peer group. */
  readonly shared: boolean;
};

/** What the kernel appends to the path of a removed folder. No path of a living one can end so. */
const deleted = '//deleted';

/** Parses the text of mountinfo. A line that is not of its form is left out. */
export function parseMountinfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const [id, , device, root, mountPoint, , ...rest] = line.split(' ');
    if (id === undefined || device === undefined || root === undefined || !mountPoint) continue;
    const dead = root.endsWith(deleted);
    entries.push({
      id: Number(id),
      device,
      root: unescape(dead ? root.slice(0, -deleted.length) : root),
      dead,
      mountPoint: unescape(mountPoint),
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
 * The mounts that show a folder strictly below `folder`, found by file system and place in it, as the mount that made
 * them may be called otherwise here or be gone.
 * @param mountId of the mount that `folder` lies on; `realPath` is its path free of symlinks.
 */
export function selectBelow(
  entries: readonly MountEntry[],
  folder: string,
  realPath: string,
  mountId: number,
): MountedView[] {
  const own = entries.find(entry => entry.id === mountId);
  if (own === undefined)
    throw new Error(`mount ${mountId}, which holds ${folder}, is not in /proc/self/mountinfo`);
  const root = posix.join(own.root, posix.relative(own.mountPoint, realPath));
  return entries
    .filter(entry => entry.device === own.device && entry.root.startsWith(`${root}/`))
    .map(({ root: shown, mountPoint, dead }) => ({
      target: mountPoint,
      source: posix.join(folder, posix.relative(root, shown)),
      dead,
    }));
}
