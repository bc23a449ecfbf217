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
