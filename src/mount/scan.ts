import { readFile } from 'node:fs/promises';
import type { MountedView } from '../ports/mounter.ts';
import { pathOf } from '../linux/libc.ts';
import { openIfThere, statFolder } from '../linux/directory.ts';
import { parseMountinfo, selectBelow } from './mountinfo.ts';

/**
 * Returns every mount that shows a directory strictly below `folder`; none if it does not exist. It takes milliseconds
 * on a busy node.
 */
export async function scan(folder: string): Promise<MountedView[]> {
  using root = openIfThere(folder);
  if (root === undefined) return [];
  const { mountId } = statFolder(root);
  const entries = parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8'));
  return selectBelow(entries, folder, pathOf(root.fd), mountId);
}
