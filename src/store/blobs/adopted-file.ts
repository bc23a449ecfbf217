import { closeSync, constants, fstatSync, lstatSync, openSync, readFileSync, type Stats } from 'node:fs';
import { replaceDescriptor } from '../../linux/io.ts';
import { ArtifactError } from '../../util/error.ts';
import type { OwnedName } from '../../util/growing-file.ts';
import { openRegular } from '../../util/regular-file.ts';

/**
 * A file of another program in place of the own file of a download. The other program has the same inode, and can write
 * to it at any time. Disposing it puts the own file back.
 */
export type AdoptedFile = OwnedName & {
  /** Whether its bytes or metadata were changed since it was adopted, or its name is another file's. */
  isChanged(): boolean;
};

/**
 * Adopts a complete file by its name, and makes `fd` a descriptor of it that can only be read: nothing that is done with
 * it later can truncate the file.
 *
 * @param fd of the own file. @param size bytes. @throws as `adopt` of GrowingFile; then nothing has changed.
 */
export function adoptFile(fd: number, name: OwnedName, size: number): AdoptedFile {
  const { path } = name;
  const other = openRegular(path);
  using _closed = { [Symbol.dispose]: () => closeSync(other) };
  verifyFit(fstatSync(other), fstatSync(fd), path, size);
  if (mountOf(other) !== mountOf(fd))
    throw Object.assign(new Error(`${path} is on another mount than the cache`), { code: 'EXDEV' });
  const before = stampOf(fstatSync(other, { bigint: true }));
  const own = openSync(`/proc/self/fd/${fd}`, constants.O_RDWR);
  replaceDescriptor(fd, other);
  return {
    path,
    isChanged() {
      const now = lstatSync(path, { bigint: true, throwIfNoEntry: false });
      return now === undefined || stampOf(now) !== before;
    },
    [Symbol.dispose]() {
      replaceDescriptor(fd, own);
      closeSync(own);
      name[Symbol.dispose]();
    },
  };
}

function verifyFit(other: Stats, own: Stats, path: string, size: number): void {
  const fail = (what: string): never => {
    throw new ArtifactError('unavailable', `${path} ${what}`);
  };
  if (other.size !== size) fail(`has ${other.size} bytes; the descriptor says ${size}`);
  if (other.uid !== own.uid || other.gid !== own.gid)
    fail(`belongs to ${other.uid}:${other.gid}, and the cache to ${own.uid}:${own.gid}`);
}

/** The number of the mount by which a file was opened: names can be moved only within one. */
function mountOf(fd: number): string | undefined {
  return /^mnt_id:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1];
}

type Identity = Record<'dev' | 'ino' | 'size' | 'mode' | 'uid' | 'gid' | 'mtimeNs', bigint>;

/** Without the time of its last change, which other names of the file change, too: dfdaemon makes and removes those. */
function stampOf({ dev, ino, size, mode, uid, gid, mtimeNs }: Identity): string {
  return [dev, ino, size, mode, uid, gid, mtimeNs].join(' ');
}
