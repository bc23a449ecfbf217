import { constants } from 'node:fs';
import { copyFile as copyBytes, open } from 'node:fs/promises';
import type { KoffiFunc } from 'koffi';
import { check, getXattr, libc, setXattr } from '../../linux/libc.ts';
import { setTime } from '../../linux/stat.ts';

const flistxattr: KoffiFunc<(fd: number, names: Uint8Array, size: number) => number> = libc.func(
  'int64 flistxattr(int, void *, size_t)',
);
/** XATTR_LIST_MAX of Linux, bytes. */
const listMax = 65_536;

/**
 * Makes a durable copy with the same mode, owner, times and `user.*` attributes. It shares the data blocks if the
 * filesystem can.
 */
export async function copyFile(from: string, to: Buffer): Promise<void> {
  await copyBytes(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  await using source = await open(from);
  await using copy = await open(to, 'r+');
  const { uid, gid, mode, mtimeNs } = await source.stat({ bigint: true });
  for (const name of userXattrs(source.fd)) {
    const value = getXattr(source.fd, name);
    if (value !== undefined) setXattr(copy.fd, name, value);
  }
  await copy.chown(Number(uid), Number(gid));
  await copy.chmod(Number(mode) & 0o7777);
  setTime(to, mtimeNs);
  await copy.sync();
}

function userXattrs(fd: number): readonly string[] {
  const names = Buffer.alloc(listMax);
  const size = check(flistxattr(fd, names, listMax), 'flistxattr', fd);
  return names
    .toString('utf8', 0, size)
    .split('\0')
    .filter(name => name.startsWith('user.'));
}
