import koffi, { type KoffiFunc } from 'koffi';
import { errnoOf } from '../util/error.ts';
import { check, libc, pathOf, systemError } from './libc.ts';

/** Limits of Linux, in bytes. */
const XATTR_SIZE_MAX = 65_536;
const XATTR_LIST_MAX = 65_536;
const { ENODATA } = koffi.os.errno;

const fsetxattr: KoffiFunc<
  (fd: number, name: string, value: Uint8Array, size: number, flags: number) => number
> = libc.func('int fsetxattr(int, const char *, const void *, size_t, int)');
const fgetxattr: KoffiFunc<(fd: number, name: string, value: Uint8Array, size: number) => number> = libc.func(
  'int64 fgetxattr(int, const char *, void *, size_t)',
);
const flistxattr: KoffiFunc<(fd: number, names: Uint8Array, size: number) => number> = libc.func(
  'int64 flistxattr(int, void *, size_t)',
);

/** Sets an extended attribute of an open file or directory. @throws ENOTSUP if the filesystem has none. */
export function setXattr(fd: number, name: string, value: Uint8Array): void {
  check(fsetxattr(fd, name, value, value.byteLength, 0), 'fsetxattr', fd);
}

/**
 * The errors of a filesystem without attributes, and of one without space for this attribute (ext4 has 4 KiB in all).
 */
const untaken = new Set(['ENOTSUP', 'ENOSPC', 'E2BIG', 'ERANGE', 'EINVAL', 'EPERM']);

/** As `setXattr`; false if the filesystem refuses it. */
export function offerXattr(fd: number, name: string, value: Uint8Array): boolean {
  try {
    setXattr(fd, name, value);
    return true;
  } catch (thrown) {
    if (untaken.has(errnoOf(thrown) ?? '')) return false;
    throw thrown;
  }
}

const scratch = new Uint8Array(XATTR_SIZE_MAX);

/** Returns an extended attribute of an open file or directory; undefined if it has none of this name. */
export function getXattr(fd: number, name: string): Uint8Array | undefined {
  const size = fgetxattr(fd, name, scratch, scratch.byteLength);
  if (size !== -1) return scratch.slice(0, size);
  const errno = koffi.errno();
  if (errno === ENODATA) return undefined;
  throw systemError('fgetxattr', pathOf(fd), errno);
}

/** Returns the names of the extended attributes of an open file or directory. */
export function listXattrs(fd: number): readonly string[] {
  const names = Buffer.alloc(XATTR_LIST_MAX);
  const size = check(flistxattr(fd, names, names.byteLength), 'flistxattr', fd);
  return names.toString('utf8', 0, size).split('\0').slice(0, -1);
}
