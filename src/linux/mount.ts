import { closeSync } from 'node:fs';
import koffi, { type KoffiFunc } from 'koffi';
import { errnoOf } from '../util/error.ts';
import type { OpenDirectory } from './directory.ts';
import { check, inThread, libc, pathOf, systemError } from './libc.ts';

/** Mounts by descriptor. The numbers of these system calls are the same on every architecture. */

/** A mount that is not attached yet. Disposing it unmounts it, unless it was attached. */
export type DetachedMount = Disposable & { readonly fd: number };

const SYS_open_tree = 428;
const SYS_move_mount = 429;
const SYS_mount_setattr = 442;
const OPEN_TREE_CLONE = 1;
const OPEN_TREE_CLOEXEC = 0x8_0000;
const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_EMPTY_PATH = 0x1000;
const MOVE_MOUNT_F_EMPTY_PATH = 4;
const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;
const MS_PRIVATE = 1n << 18n;
const MOUNT_ATTR__ATIME = 0x70n;
const MOUNT_ATTR_NOSYMFOLLOW = 0x20_0000n;
const { EINVAL, ENOENT } = koffi.os.errno;

/** Restrictions of a mount, as bits of mount_setattr(2). */
export const restriction = {
  readOnly: 0x01n,
  noSuid: 0x02n,
  noDev: 0x04n,
  noExec: 0x08n,
  noAtime: 0x10n,
} as const;

const openTree: KoffiFunc<(number: number, parent: number, path: string, flags: number) => number> =
  libc.func('int64 syscall(int64, int, const char *, uint)');
const mountSetattr: KoffiFunc<
  (number: number, fd: number, path: string, flags: number, attr: BigUint64Array, size: number) => number
> = libc.func('int64 syscall(int64, int, const char *, uint, const void *, size_t)');
const moveMount: KoffiFunc<
  (number: number, from: number, fromPath: string, to: number, toPath: string, flags: number) => number
> = libc.func('int64 syscall(int64, int, const char *, int, const char *, uint)');
const umount2: KoffiFunc<(path: string, flags: number) => number> = libc.func(
  'int umount2(const char *, int)',
);

/** Clones the mount of a directory, as a bind mount would, without the mounts below it (open_tree(2)). */
export function cloneMount(path: string): DetachedMount {
  const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW;
  const fd = check(openTree(SYS_open_tree, AT_FDCWD, path, flags), 'open_tree', path);
  return { fd, [Symbol.dispose]: () => closeSync(fd) };
}

/**
 * Gives a detached mount these restrictions and no others: a clone has those of its original, which are meant for that
 * one, such as noexec for a disk of data. (Options for access times do not matter for a read-only mount.) It also
 * becomes private: it shares no later mounts with its original. Attached below a shared mount it becomes shared again,
 * with its copies there alone (mount_setattr(2)).
 */
export function restrictMount(mount: DetachedMount, restrictions: bigint): void {
  const atime = (restrictions & restriction.noAtime) === 0n ? 0n : MOUNT_ATTR__ATIME;
  const others = (restriction.noExec & ~restrictions) | MOUNT_ATTR_NOSYMFOLLOW;
  const attributes = BigUint64Array.of(restrictions, atime | others, MS_PRIVATE, 0n);
  check(
    mountSetattr(SYS_mount_setattr, mount.fd, '', AT_EMPTY_PATH, attributes, attributes.byteLength),
    'mount_setattr',
    mount.fd,
  );
}

/** Attaches a mount to a directory by its one name; a symlink of that name is not followed (move_mount(2)). */
export function attachMount(mount: DetachedMount, parent: OpenDirectory, name: string): void {
  check(
    moveMount(SYS_move_mount, mount.fd, '', parent.fd, name, MOVE_MOUNT_F_EMPTY_PATH),
    'move_mount',
    name,
  );
}

/**
 * Detaches the topmost mount at a directory by its one name, at once, even while it is in use; false if nothing is
 * mounted there. A symlink is not followed (umount2(2)).
 */
export function detachMount(parent: OpenDirectory, name: string): boolean {
  const path = `/proc/self/fd/${parent.fd}/${name}`;
  if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) === 0) return true;
  const errno = koffi.errno();
  if (errno === EINVAL || errno === ENOENT) return false;
  throw systemError('umount2', `${pathOf(parent.fd)}/${name}`, errno);
}

/**
 * The same in a thread, for the mount of an image with late files: when the last one ends, the kernel waits for reads of
 * missing bytes, which this process answers. The landings must have ended before: if the process were killed while the
 * kernel waits in it, its connection would not close, and it would live until the kernel's time limit.
 */
export async function detachMountInThread(parent: OpenDirectory, name: string): Promise<boolean> {
  const path = `/proc/self/fd/${parent.fd}/${name}`;
  try {
    await inThread('umount2', `${pathOf(parent.fd)}/${name}`, done =>
      umount2.async(path, MNT_DETACH | UMOUNT_NOFOLLOW, done),
    );
    return true;
  } catch (thrown) {
    const errno = errnoOf(thrown);
    if (errno === 'EINVAL' || errno === 'ENOENT') return false;
    throw thrown;
  }
}

/** The errno of a mount_setattr call that can only fail: EINVAL if it exists, ENOSYS before Linux 5.12. */
export function probeMountSetattr(): number {
  mountSetattr(SYS_mount_setattr, -1, '', 0, new BigUint64Array(4), 0);
  return koffi.errno();
}
