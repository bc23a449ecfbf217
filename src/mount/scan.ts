import { readFile } from 'node:fs/promises';
import { openIfThere, statDirectory } from '../linux/directory.ts';
import { pathOf } from '../linux/libc.ts';
import type { MountedView } from '../ports/mounter.ts';
import { parseMountinfo, selectBelow } from './mountinfo.ts';

/**
 * Returns every mount that shows a directory strictly below `directory`; none if it does not exist. It takes
 * milliseconds on a busy node.
 */
export async function scan(directory: string): Promise<MountedView[]> {
  using root = openIfThere(directory);
  if (root === undefined) return [];
  const { mountId } = statDirectory(root);
  const entries = parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8'));
  return selectBelow(entries, directory, pathOf(root.fd), mountId);
}

/**
 * Returns what is mounted at a mount point and is no view: a directory of its filesystem, by its path there. A view has
 * the path of its key below `views`, also in a state directory that is no longer there. What shows a removed directory shows a view that was removed.
 */
export async function findForeign(mountPoint: string): Promise<string | undefined> {
  const entries = parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8'));
  return entries.find(entry => entry.mountPoint === mountPoint && !entry.dead && !viewPath.test(entry.root))
    ?.root;
}

const viewPath = /\/views\/[^/]+$/;
