import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { bodyName } from '../oci/toc.ts';
import { offerXattr } from '../util/libc.ts';
import { startPace } from '../util/pace.ts';
import type { SetXattrs } from './xattr-batch.ts';

const never = new AbortController().signal;

/** Sets extended attributes of bodies. Not for a thread, which loads no native code. @throws as the file system does. */
export const setXattrs: SetXattrs = async ({ into, bodies }) => {
  const pace = startPace(never);
  const dropped: string[] = [];
  for (const { body, xattrs } of bodies) {
    const fd = openSync(join(into, bodyName(body)), 'r');
    try {
      for (const [name, value] of Object.entries(xattrs))
        if (!offerXattr(fd, name, Buffer.from(value, 'latin1'))) dropped.push(name);
    } finally {
      closeSync(fd);
    }
    const rest = pace();
    if (rest !== undefined) await rest;
  }
  return dropped;
};
