import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { setTime } from '../linux/stat.ts';
import { offerXattr } from '../linux/xattr.ts';
import { bodyName } from '../tree/layer-files.ts';
import { never } from '../util/abortable.ts';
import { startPace } from '../util/pace.ts';
import { openRegular } from '../util/regular-file.ts';
import type { SetXattrs } from './xattr-batch.ts';

/**
 * Sets extended attributes and times of bodies. Not for a worker thread, which loads no native code.
 *
 * @throws errors of the filesystem.
 */
export const setXattrs: SetXattrs = async ({ into, bodies }) => {
  const pace = startPace(never);
  const dropped: string[] = [];
  for (const { body, xattrs, mtime } of bodies) {
    const path = join(into, bodyName(body));
    const fd = openRegular(path);
    try {
      for (const [name, value] of Object.entries(xattrs)) {
        if (!offerXattr(fd, name, Buffer.from(value, 'latin1'))) dropped.push(name);
        const more = pace();
        if (more !== undefined) await more;
      }
    } finally {
      closeSync(fd);
    }
    setTime(Buffer.from(path), mtime);
    const rest = pace();
    if (rest !== undefined) await rest;
  }
  return dropped;
};
