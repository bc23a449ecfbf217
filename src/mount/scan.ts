import { existsSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { posix } from 'node:path';
import { openIfThere, statDirectory } from '../linux/directory.ts';
import { pathOf } from '../linux/libc.ts';
import type { MountedView } from '../ports/mounter.ts';
import { isImageMount, parseMountinfo, selectBelow, showsImage, showsView } from './mountinfo.ts';

/**
 * Returns every mount that shows a directory strictly below `directory`, or an image there, but not the mounts of
 * images themselves; none if it does not exist. It takes milliseconds on a busy node.
 */
export async function scan(directory: string): Promise<MountedView[]> {
  using root = openIfThere(directory);
  if (root === undefined) return [];
  const { mountId } = statDirectory(root);
  const entries = parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8'));
  const find = createImageSearch(directory);
  const volumes = entries.filter(entry => showsImage(entry) && !isImageMount(entry));
  const images = volumes.flatMap(({ mountPoint: target, source: mounted, dead }) => {
    const source = find(mounted);
    return source === undefined ? [] : [{ target, source, dead }];
  });
  return [...selectBelow(entries, directory, pathOf(root.fd), mountId), ...images];
}

/**
 * Finds the present path of an image, by its name: its directory, and the state directory, may have another name since
 * it was mounted. One that was removed from here keeps its path. Returns undefined for one of another state directory.
 */
function createImageSearch(directory: string): (image: string) => string | undefined {
  let names: readonly string[] | undefined;
  return image => {
    const isBelow = image.startsWith(`${directory}/`);
    if (isBelow && existsSync(image)) return image;
    names ??= readdirSync(directory).filter(name => name.endsWith(imageEnd));
    const paths = names.map(name => posix.join(directory, name, posix.basename(image)));
    return paths.find(path => existsSync(path)) ?? (isBelow ? image : undefined);
  };
}

const imageEnd = '.erofs';

/**
 * Returns what is mounted at a mount point and is no view: a directory of its filesystem, by its path there, or an
 * image, by its path.
 */
export async function findForeign(mountPoint: string): Promise<string | undefined> {
  const entries = parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8'));
  const foreign = entries.find(entry => entry.mountPoint === mountPoint && !showsView(entry));
  return foreign && (foreign.type === 'erofs' ? foreign.source : foreign.root);
}
