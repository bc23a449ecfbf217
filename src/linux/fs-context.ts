import { closeSync } from 'node:fs';
import koffi, { type KoffiFunc } from 'koffi';
import { check, inThread, libc, systemError } from './libc.ts';
import type { DetachedMount } from './mount.ts';

/** New filesystems by descriptor. The numbers of these system calls are the same on every architecture. */

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

/** A filesystem that is being configured (fsopen(2)). */
export type FsContext = Disposable & {
  /** @throws EINVAL for an option that the filesystem does not know. */
  set(key: string, value: string): void;
  setFlag(key: string): void;
  /** Creates the filesystem, and mounts it read-only, nosuid and nodev, attached nowhere (fsmount(2)). */
  mount(): DetachedMount;
  /** The same in a thread, because the kernel waits for a process. */
  mountInThread(): Promise<DetachedMount>;
};

/** @param name for errors. @throws ENODEV if the kernel does not have this type. */
export function openFsContext(type: 'erofs' | 'fuse', name: string): FsContext {
  const fs = check(fsopen(SYS_fsopen, type, FSOPEN_CLOEXEC), 'fsopen', name);
  const configure = (command: number, key: string | null, value: string | null): void => {
    if (fsconfig(SYS_fsconfig, fs, command, key, value, 0) !== -1) return;
    throw systemError('fsconfig', name, koffi.errno());
  };
  const finish = (): DetachedMount => {
    const attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    const fd = check(fsmount(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes), 'fsmount', name);
    return { fd, [Symbol.dispose]: () => closeSync(fd) };
  };
  return {
    set: (key, value) => configure(FSCONFIG_SET_STRING, key, value),
    setFlag: key => configure(FSCONFIG_SET_FLAG, key, null),
    mount() {
      configure(FSCONFIG_CMD_CREATE, null, null);
      return finish();
    },
    async mountInThread() {
      await inThread('fsconfig', name, done =>
        fsconfig.async(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, null, null, 0, done),
      );
      return finish();
    },
    [Symbol.dispose]: () => closeSync(fs),
  };
}
