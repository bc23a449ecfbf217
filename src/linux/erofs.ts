import { closeSync, openSync } from 'node:fs';
import koffi, { type KoffiFunc } from 'koffi';
import { check, libc, systemError } from './libc.ts';
import type { DetachedMount } from './mount.ts';

/** Mounts of EROFS images that are files. The numbers of these system calls are the same on every architecture. */

const SYS_fsopen = 430;
const SYS_fsconfig = 431;
const SYS_fsmount = 432;
const FSOPEN_CLOEXEC = 1;
const FSCONFIG_SET_FLAG = 0;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_CMD_CREATE = 6;
const FSMOUNT_CLOEXEC = 1;
const MOUNT_ATTR_RDONLY = 1;
const MOUNT_ATTR_NOSUID = 2;
const MOUNT_ATTR_NODEV = 4;

const fsopen: KoffiFunc<(number: number, type: string, flags: number) => number> = libc.func(
  'int64 syscall(int64, const char *, uint)',
);
const fsconfig: KoffiFunc<
  (
    number: number,
    fd: number,
    command: number,
    key: string | null,
    value: string | null,
    auxiliary: number,
  ) => number
> = libc.func('int64 syscall(int64, int, uint, const char *, const char *, int)');
const fsmount: KoffiFunc<(number: number, fd: number, flags: number, attributes: number) => number> =
  libc.func('int64 syscall(int64, int, uint, uint)');

/** The longest text that fsconfig(2) takes. */
export const longestSource = 255;

export type ErofsFiles = {
  /** The image. Lists of mounts show this path. */
  readonly image: string;
  /** The files with the bytes of its files, in the order of its table. */
  readonly devices: readonly string[];
  /** Whether the devices are read past the page cache. */
  readonly isDirect?: boolean;
  /** The SELinux context of everything in it. */
  readonly context?: string | undefined;
};

/**
 * Mounts an image with its devices, read-only, nosuid and nodev, and does not attach it (fsopen(2), fsconfig(2),
 * fsmount(2)). The mount keeps the files open: they may be renamed or removed.
 *
 * @throws ENODEV without EROFS; ENOTBLK where it mounts block devices only; EINVAL for a file that it cannot read.
 */
export function createErofsMount({ image, devices, isDirect, context }: ErofsFiles): DetachedMount {
  using stack = new DisposableStack();
  const own = (fd: number): number => {
    stack.defer(() => closeSync(fd));
    return fd;
  };
  const fs = own(check(fsopen(SYS_fsopen, 'erofs', FSOPEN_CLOEXEC), 'fsopen', image));
  const configure = (command: number, key: string | null, value: string | null): void => {
    if (fsconfig(SYS_fsconfig, fs, command, key, value, 0) !== -1) return;
    const errno = koffi.errno();
    const error = systemError('fsconfig', image, errno);
    throw errno === koffi.os.errno.ENOTBLK ? Object.assign(error, { code: 'ENOTBLK' }) : error; // Node has no name for it
  };
  configure(FSCONFIG_SET_STRING, 'source', image);
  for (const device of devices)
    configure(FSCONFIG_SET_STRING, 'device', `/proc/self/fd/${own(openSync(device, 'r'))}`);
  if (context !== undefined) configure(FSCONFIG_SET_STRING, 'context', context);
  if (isDirect === true) configure(FSCONFIG_SET_FLAG, 'directio', null);
  configure(FSCONFIG_SET_FLAG, 'ro', null);
  configure(FSCONFIG_CMD_CREATE, null, null);
  const attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  const fd = check(fsmount(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes), 'fsmount', image);
  return { fd, [Symbol.dispose]: () => closeSync(fd) };
}
