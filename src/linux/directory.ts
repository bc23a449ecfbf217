import { closeSync, constants, openSync } from 'node:fs';
import koffi, { type KoffiFunc } from 'koffi';
import { errnoOf } from '../util/error.ts';
import { check, libc, pathOf, systemError } from './libc.ts';

/**
 * Directories by descriptor: a path is resolved once, and later operations cannot be redirected by a rename or a
 * symlink.
 */
export type OpenDirectory = Disposable & { readonly fd: number };

/** The result of statx(2) for an open directory. */
export type DirectoryStatus = {
  /**
   * The device of the filesystem, `major:minor`; with the inode it shows whether two descriptors refer to one
   * directory.
   */
  readonly device: string;
  readonly inode: bigint;
  /** 0 once the directory is removed. */
  readonly links: number;
  readonly isMountRoot: boolean;
  /** As in the first column of mountinfo. */
  readonly mountId: number;
};

const O_PATH = 0x20_0000;
const O_CLOEXEC = 0x8_0000;
const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_NO_SYMLINKS = 0x04;
const RESOLVE_BENEATH = 0x08;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_REMOVEDIR = 0x200;
const AT_EMPTY_PATH = 0x1000;
const AT_STATX_DONT_SYNC = 0x4000;
const STATX_NLINK = 0x04;
const STATX_INO = 0x100;
const STATX_MNT_ID = 0x1000;
const STATX_ATTR_MOUNT_ROOT = 0x2000n;
const ST_RDONLY = 1n;
const { EEXIST, ENOENT } = koffi.os.errno;

const arm = process.arch === 'arm64';
const SYS_openat2 = 437;
const SYS_statx = arm ? 291 : 332;

const openat2: KoffiFunc<
  (number: number, parent: number, path: string, how: BigUint64Array, size: number) => number
> = libc.func('int64 syscall(int64, int, const char *, const void *, size_t)');
const statx: KoffiFunc<
  (number: number, fd: number, path: string, flags: number, mask: number, status: Uint8Array) => number
> = libc.func('int64 syscall(int64, int, const char *, uint, uint, void *)');
const fstatfs: KoffiFunc<(fd: number, status: BigUint64Array) => number> =
  libc.func('int fstatfs(int, void *)');
const mkdirat: KoffiFunc<(parent: number, name: string, mode: number) => number> = libc.func(
  'int mkdirat(int, const char *, uint)',
);
const unlinkat: KoffiFunc<(parent: number, name: string, flags: number) => number> = libc.func(
  'int unlinkat(int, const char *, int)',
);

/** Opens a directory with O_PATH. Symlinks are followed. */
export function openDirectory(path: string): OpenDirectory {
  return toDirectory(openSync(path, O_PATH | constants.O_DIRECTORY));
}

/** As openDirectory; undefined if nothing is there. */
export function openIfThere(path: string): OpenDirectory | undefined {
  try {
    return openDirectory(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** A struct open_how. */
const beneath = BigUint64Array.of(
  BigInt(O_PATH | O_CLOEXEC | constants.O_DIRECTORY),
  0n,
  BigInt(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS),
);

/**
 * Opens a directory below another one; the path is relative, and no symlink in it is followed (openat2(2)). Undefined if
 * nothing is there, which is no error: making one takes longer than the call.
 *
 * @throws ELOOP for a symlink anywhere in the path, EXDEV for a path that leads out, ENOTDIR.
 */
export function openBeneath(parent: OpenDirectory, path: string): OpenDirectory | undefined {
  const fd = openat2(SYS_openat2, parent.fd, path, beneath, beneath.byteLength);
  if (fd === -1 && koffi.errno() === ENOENT) return undefined;
  return toDirectory(check(fd, 'openat2', path));
}

/** As `beneath`, for any type of file. Symlinks are followed while they stay below. */
const within = BigUint64Array.of(
  BigInt(O_PATH | O_CLOEXEC),
  0n,
  BigInt(RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS),
);

/**
 * Opens a file of any type below a directory with O_PATH: a device is not accessed, and a FIFO does not block.
 *
 * @throws EXDEV for a path or a symlink that leads out, ENOENT, ENOTDIR, ELOOP.
 */
export function openWithin(parent: OpenDirectory, path: string): OpenDirectory {
  const fd = openat2(SYS_openat2, parent.fd, path, within, within.byteLength);
  return toDirectory(check(fd, 'openat2', path));
}

function toDirectory(fd: number): OpenDirectory {
  return { fd, [Symbol.dispose]: () => closeSync(fd) };
}

const status = Buffer.alloc(256);

/** It does not ask the server of a remote filesystem, so it cannot hang. */
export function statDirectory(directory: OpenDirectory): DirectoryStatus {
  const flags = AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC;
  const mask = STATX_NLINK | STATX_INO | STATX_MNT_ID;
  check(statx(SYS_statx, directory.fd, '', flags, mask, status), 'statx', directory.fd);
  return {
    device: `${status.readUInt32LE(136)}:${status.readUInt32LE(140)}`,
    inode: status.readBigUInt64LE(32),
    links: status.readUInt32LE(16),
    isMountRoot: (status.readBigUInt64LE(8) & STATX_ATTR_MOUNT_ROOT) !== 0n,
    mountId: Number(status.readBigUInt64LE(144)),
  };
}

const fileSystem = new BigUint64Array(15);

/**
 * Whether nothing can be written through this mount, or to its filesystem at all.
 *
 * @throws ENOTCONN for a FUSE filesystem whose server is gone. It waits for a server that does not answer.
 */
export function isReadOnly(directory: OpenDirectory): boolean {
  check(fstatfs(directory.fd, fileSystem), 'fstatfs', directory.fd);
  return ((fileSystem[10] ?? 0n) & ST_RDONLY) !== 0n;
}

/** Creates a directory; false if the name is taken. */
export function makeDirectory(parent: OpenDirectory, name: string, mode: number): boolean {
  if (mkdirat(parent.fd, name, mode) === 0) return true;
  const errno = koffi.errno();
  if (errno === EEXIST) return false;
  throw systemError('mkdirat', `${pathOf(parent.fd)}/${name}`, errno);
}

/**
 * Removes an empty directory, never anything else.
 *
 * @throws ENOENT, ENOTEMPTY, ENOTDIR (also for a symlink), EBUSY for a mount point.
 */
export function removeDirectory(parent: OpenDirectory, name: string): void {
  check(unlinkat(parent.fd, name, AT_REMOVEDIR), 'rmdir', name);
}
