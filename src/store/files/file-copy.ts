import { constants } from 'node:fs';
import { copyFile as copyBytes, open } from 'node:fs/promises';
import { setTime } from '../../linux/stat.ts';
import { getXattr, listXattrs, setXattr } from '../../linux/xattr.ts';
import { openHandle } from './directory.ts';

/**
 * Makes a durable copy with the same mode, owner, times and `user.*` attributes. It shares the data blocks if the
 * filesystem can.
 */
export async function copyFile(from: string, to: Buffer): Promise<void> {
  await copyBytes(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  await using source = await openHandle(from);
  await using copy = await open(to, 'r+');
  const { uid, gid, mode, mtimeNs } = await source.stat({ bigint: true });
  for (const name of listXattrs(source.fd).filter(name => name.startsWith('user.'))) {
    const value = getXattr(source.fd, name);
    if (value !== undefined) setXattr(copy.fd, name, value);
  }
  await copy.chown(Number(uid), Number(gid));
  await copy.chmod(Number(mode) & 0o7777);
  setTime(to, mtimeNs);
  await copy.sync();
}
