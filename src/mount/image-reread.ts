import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { rereadErofs } from '../linux/erofs-metadata.ts';
import { errnoOf } from '../util/error.ts';
import { shareRuns } from '../util/shared-run.ts';
import { parseMountinfo, showsImage } from './mountinfo.ts';

/** Makes the kernel read the metadata of an image again, if it is mounted. @throws the error of the system. */
export type ImageReread = (image: string) => Promise<void>;

/**
 * Calls for one image share a run. One that comes during a run gets the next one, so that each run reads what was
 * changed before its call.
 *
 * @param find returns the device of a mounted image.
 */
export function openImageReread(
  reread: (image: string, device: string) => Promise<void> = rereadErofs,
  find: (image: string) => string | undefined = findDevice,
): ImageReread {
  const rereads = new Map<string, () => Promise<void>>();

  const create = (image: string): (() => Promise<void>) => {
    let device: string | undefined;
    return shareRuns(async () => {
      device ??= find(image); // it is that of all its mounts, and stays while there is one
      try {
        if (device !== undefined) await reread(image, device);
      } catch (thrown) {
        device = undefined;
        if (errnoOf(thrown) !== 'ENOENT' || find(image) !== undefined) throw thrown;
      }
      if (device === undefined) rereads.delete(image);
    });
  };

  return image => {
    const run = rereads.get(image) ?? create(image);
    rereads.set(image, run);
    return run();
  };
}

function findDevice(image: string): string | undefined {
  const mounts = parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'));
  return mounts.find(mount => showsImage(mount) && basename(mount.source) === basename(image))?.device;
}
